// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/support/server_callback.h>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "runtime/base/status.h"
#include "server/call.h"
#include "server/guarded_requests.h"

namespace rlx::server {

// A stream of requests, each of which is answered once: as they come, up to
// WireLimits::max_stream_requests at a time (then reading pauses), in the order in which they
// finish. Ends when the client has said its last and all is answered; UNAVAILABLE when the daemon
// closes and all that it has read is answered. Owns itself until gRPC is done with it.
template <class Request, class Response>
class BidiReactor : public grpc::ServerBidiReactor<Request, Response>,
                    public std::enable_shared_from_this<BidiReactor<Request, Response>> {
 public:
  static BidiReactor* Start(std::shared_ptr<BidiReactor> self) {
    self->self_ = self;
    self->Advance(std::unique_lock(self->mutex_));
    self->on_closing_.emplace(self->frontend().closing.get_token(),
                              std::function<void()>([raw = self.get()] { raw->Close(); }));
    return self.get();
  }

  void OnReadDone(bool ok) override {
    std::unique_lock lock(mutex_);
    reading_ = false;
    if (finished_) return;
    if (last_read_) return Advance(std::move(lock));  // a status ends the stream
    refused_ = ok ? Refusal(incoming_) : absl::OkStatus();
    if (!ok || !refused_.ok()) {
      last_read_ = true;
      return Advance(std::move(lock));
    }
    ++running_;
    handing_over_ = true;
    call_.Received(incoming_.ByteSizeLong());
    Request request = std::move(incoming_);
    incoming_.Clear();
    lock.unlock();

    const Way way = WayOf(request);
    if (way == Way::kQueue) {
      Queue(std::move(request));
      lock.lock();
      handing_over_ = false;
      return Advance(std::move(lock));
    }
    lock.lock();
    handing_over_ = false;
    lock.unlock();
    if (way == Way::kHere) {
      const QuickGuard guard(frontend());
      if (guard.held()) return Answer(request);
    }
    auto shared = std::make_shared<Request>(std::move(request));
    const bool taken = frontend().executor.Submit(
        [self = this->shared_from_this(), shared] { self->Answer(*shared); });
    if (taken) return Advance(std::unique_lock(mutex_));
    Response response;
    Refuse(*shared, TooManyCalls(frontend()), response);
    Push(std::move(response), absl::OkStatus());
  }

  void OnWriteDone(bool ok) override {
    std::unique_lock lock(mutex_);
    writing_ = false;
    answers_.pop_front();
    if (!ok) broken_ = true;
    Advance(std::move(lock));
  }

  void OnCancel() override {
    call_.Stop();
    std::unique_lock lock(mutex_);
    broken_ = true;
    Advance(std::move(lock));
  }

  void OnDone() override { self_.reset(); }

 protected:
  BidiReactor(Frontend& frontend, const Method& stream, const grpc::CallbackServerContext& context)
      : call_(frontend, stream, context) {}

  enum class Way {
    kExecutor,  // may block
    kHere,      // so short that it is answered on the thread that received it
    kQueue,     // waits without a thread: Begin
  };
  // Any thread, several at a time.
  virtual Way WayOf(const Request& request) = 0;
  // For Way::kQueue: Fill, but for when `done` is called; with its status, once, by any thread.
  // Both stay until then.
  using Done = std::function<void(absl::Status)>;
  virtual void Begin(const Request& request, Response& response, Done done) {
    done(Fill(request, response));
  }
  // Fills the response, whatever becomes of the request. A status ends the stream, once what was
  // answered before is out; the response then is dropped.
  virtual absl::Status Fill(const Request& request, Response& response) = 0;
  // Says why a request was not begun.
  virtual void Refuse(const Request& request, const absl::Status& why, Response& response) = 0;

  Call& call() { return call_; }
  Frontend& frontend() { return call_.frontend(); }

 private:
  void Answer(const Request& request) {
    Response response;
    absl::Status end = Fill(request, response);
    Push(std::move(response), std::move(end));
  }

  void Queue(Request request) {
    struct Work {
      Request request;
      Response response;
    };
    const auto work = std::make_shared<Work>(Work{std::move(request), Response()});
    Begin(work->request, work->response, [self = this->shared_from_this(), work](absl::Status end) {
      self->Push(std::move(work->response), std::move(end));
    });
  }

  void Push(Response response, absl::Status end) {
    std::unique_lock lock(mutex_);
    if (end.ok()) {
      call_.Sent(response.ByteSizeLong());
      answers_.push_back(std::move(response));
    } else {
      last_read_ = true;
      refused_.Update(end);
    }
    --running_;
    Advance(std::move(lock));
  }

  void Close() {
    std::unique_lock lock(mutex_);
    closing_ = true;
    Advance(std::move(lock));
  }

  // Continues whatever may go on now: the next read, the next write, the end. Takes the lock over.
  void Advance(std::unique_lock<std::mutex> lock) {
    if (finished_) return;
    if (broken_ && answers_.size() > (writing_ ? 1u : 0u)) {
      answers_.erase(answers_.begin() + (writing_ ? 1 : 0), answers_.end());
    }
    // gRPC may call back before StartRead and StartWrite return, so both happen without the lock.
    const bool read = !reading_ && !handing_over_ && !last_read_ && !broken_ && !closing_ &&
                      running_ + answers_.size() < frontend().limits.max_stream_requests;
    const bool write = !writing_ && !answers_.empty();
    // gRPC ends a read that waits when the stream is finished.
    const bool end = !read && (!reading_ || closing_ || !refused_.ok()) && !write && !writing_ &&
                     running_ == 0 && answers_.empty() && (last_read_ || broken_ || closing_);
    const Response* next = write ? &answers_.front() : nullptr;
    reading_ = reading_ || read;
    writing_ = writing_ || write;
    finished_ = end;
    const bool broken = broken_;
    const bool last = last_read_ || broken_;
    const absl::Status refused = refused_;
    const auto keep = this->shared_from_this();
    lock.unlock();
    if (read) this->StartRead(&incoming_);
    if (write) this->StartWrite(next);
    if (!end) return;
    absl::Status status = broken ? call_.cancel().Check() : refused;
    if (status.ok() && !last) status = Unavailable("the server is draining");
    this->Finish(call_.End(status));
  }

  std::shared_ptr<BidiReactor> self_;
  Call call_;
  std::mutex mutex_;
  Request incoming_;
  std::deque<Response> answers_;  // the front is being written while writing_
  uint32_t running_ = 0;
  bool reading_ = false;
  // A request is on its way into a queue: the next is read behind it, so that they stand in order.
  bool handing_over_ = false;
  bool writing_ = false;
  bool last_read_ = false;
  bool broken_ = false;
  bool closing_ = false;
  bool finished_ = false;
  absl::Status refused_;  // why the stream ends, when it is not by the client's word
  std::optional<std::stop_callback<std::function<void()>>> on_closing_;
};

}  // namespace rlx::server
