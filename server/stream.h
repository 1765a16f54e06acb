// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/arena.h>
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
      const absl::Status begun = self->call_.CheckWaited();
      self->Close(begun.ok() ? produce(*self, self->call_) : self->call_.End(begun));
    });
    if (!taken) self->Close(self->call_.End(TooManyCalls(self->call_.frontend())));
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

  // For the last message: `fill` writes it in place, and it goes out with the status that ends the
  // stream. Its parts come from an arena: a report of a thousand small messages is a few
  // allocations. At most once.
  template <typename Fill>
  void PushLast(const Fill& fill) {
    Message* const last = google::protobuf::Arena::CreateMessage<Message>(&arena_);
    fill(*last);
    std::lock_guard lock(mutex_);
    if (broken_) return;
    call_.Sent(last->ByteSizeLong());
    last_ = last;
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
    last_ = nullptr;
  }

  // The one message that is left, if it is one.
  const Message* OnlyOne() const {
    if (queue_.empty()) return last_;
    return queue_.size() == 1 && last_ == nullptr ? &queue_.front() : nullptr;
  }

  // Begins the next write, or finishes. gRPC may call back at once, so without the lock.
  void Advance(std::unique_lock<std::mutex>& lock) {
    if (const Message* only = OnlyOne(); only != nullptr && closed_ && !finished_) {
      return WriteLast(*only, lock);
    }
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
  void WriteLast(const Message& last, std::unique_lock<std::mutex>& lock) {
    finished_ = true;
    writing_ = true;  // nothing else is begun
    const grpc::Status status = status_;
    lock.unlock();
    this->StartWriteAndFinish(&last, grpc::WriteOptions(), status);
  }

  static google::protobuf::ArenaOptions InFewBlocks() {
    google::protobuf::ArenaOptions options;
    options.start_block_size = size_t{16} << 10;
    options.max_block_size = size_t{64} << 10;
    return options;
  }

  std::shared_ptr<StreamReactor> self_;
  Call call_;
  google::protobuf::Arena arena_{InFewBlocks()};  // of last_, which gRPC reads until OnDone
  std::mutex mutex_;
  std::deque<Message> queue_;      // the front is being written while writing_
  const Message* last_ = nullptr;  // goes after the queue, once closed_
  bool writing_ = false;
  bool closed_ = false;
  bool broken_ = false;
  bool finished_ = false;
  grpc::Status status_;
};

}  // namespace rlx::server
