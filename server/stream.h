// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/message.h>
#include <grpcpp/support/server_callback.h>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "runtime/base/status.h"
#include "server/call.h"
#include "server/guarded_requests.h"

namespace rlx::server {

// Answers one server-streaming call: `produce` runs on the executor and pushes messages, which are
// written in order. Owns itself until gRPC is done with it.
template <typename Message>
class StreamReactor final : public grpc::ServerWriteReactor<Message>,
                            public std::enable_shared_from_this<StreamReactor<Message>> {
 public:
  // Returns the status that ends the stream, through Call::End.
  using Producer = std::function<grpc::Status(StreamReactor&, Call&)>;

  // Returns nothing when there is more to do than may be done on the thread that received the call.
  using Quick = std::function<std::optional<grpc::Status>(StreamReactor&, Call&)>;

  // `quick`, where there is one, is tried first, if the right to compute there is to be had.
  static grpc::ServerWriteReactor<Message>* Start(Frontend& frontend, const Method& method,
                                                  const grpc::CallbackServerContext& context,
                                                  const google::protobuf::Message& request,
                                                  Producer produce, const Quick& quick = {}) {
    auto self = std::make_shared<StreamReactor>(frontend, method, context);
    self->call_.Received(request.ByteSizeLong());
    self->self_ = self;
    if (const absl::Status read = Refusal(request); !read.ok()) {
      self->Close(self->call_.End(read));
      return self.get();
    }
    if (quick && self->Try(quick)) return self.get();
    const bool taken = frontend.executor.Submit([self, produce = std::move(produce)] {
      const absl::Status begun = self->call_.cancel().Check();
      self->Close(begun.ok() ? produce(*self, self->call_) : self->call_.End(begun));
    });
    if (!taken) self->Close(self->call_.End(TooManyCalls()));
    return self.get();
  }

  StreamReactor(Frontend& frontend, const Method& method,
                const grpc::CallbackServerContext& context)
      : call_(frontend, method, context) {}

  // Queues a message; never waits, so for messages that are few and small. Dropped, and false, once
  // the caller has gone.
  bool Push(Message message) {
    std::unique_lock lock(mutex_);
    if (broken_) return false;
    call_.Sent(message.ByteSizeLong());
    queue_.push_back(std::move(message));
    if (!writing_) Advance(lock);
    return true;
  }

  // As Push, for the last one: it goes out with the status that ends the stream.
  void PushLast(Message message) {
    std::unique_lock lock(mutex_);
    if (broken_) return;
    call_.Sent(message.ByteSizeLong());
    queue_.push_back(std::move(message));
  }

  void OnWriteDone(bool ok) override {
    std::unique_lock lock(mutex_);
    queue_.pop_front();
    if (!ok) Break();
    Advance(lock);
  }

  void OnCancel() override {
    call_.Stop();
    std::lock_guard lock(mutex_);
    Break();
  }

  void OnDone() override { self_.reset(); }

 private:
  bool Try(const Quick& quick) {
    const QuickGuard guard(call_.frontend());
    if (!guard.held()) return false;
    std::optional<grpc::Status> status = quick(*this, call_);
    if (!status) return false;
    Close(*std::move(status));
    return true;
  }

  void Close(grpc::Status status) {
    std::unique_lock lock(mutex_);
    closed_ = true;
    status_ = std::move(status);
    if (!writing_) Advance(lock);
  }

  // The reader is gone: what was not begun is dropped.
  void Break() {
    broken_ = true;
    while (queue_.size() > (writing_ ? 1 : 0)) queue_.pop_back();
  }

  // Begins the next write, or finishes. gRPC may call back at once, so without the lock.
  void Advance(std::unique_lock<std::mutex>& lock) {
    if (closed_ && !finished_ && queue_.size() == 1) return WriteLast(lock);
    writing_ = !queue_.empty();
    if (writing_) {
      const Message* next = &queue_.front();
      lock.unlock();
      this->StartWrite(next);
      return;
    }
    if (!closed_ || finished_) return;
    finished_ = true;
    const grpc::Status status = status_;
    lock.unlock();
    this->Finish(status);
  }

  // Message and status in one: no OnWriteDone follows, and the message stays until OnDone.
  void WriteLast(std::unique_lock<std::mutex>& lock) {
    finished_ = true;
    writing_ = true;  // nothing else is begun
    const Message* last = &queue_.front();
    const grpc::Status status = status_;
    lock.unlock();
    this->StartWriteAndFinish(last, grpc::WriteOptions(), status);
  }

  std::shared_ptr<StreamReactor> self_;
  Call call_;
  std::mutex mutex_;
  std::deque<Message> queue_;  // the front is being written while writing_
  bool writing_ = false;
  bool closed_ = false;
  bool broken_ = false;
  bool finished_ = false;
  grpc::Status status_;
};

}  // namespace rlx::server
