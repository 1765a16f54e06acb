// SPDX-License-Identifier: Apache-2.0
#include "server/run_stream.h"

#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "server/run.h"

namespace rlx::server {

RunStreamReactor* RunStreamReactor::Start(Frontend& frontend, const Method& stream,
                                          const Method& run, QuickRuns& quick,
                                          const grpc::CallbackServerContext& context) {
  auto self = std::make_shared<RunStreamReactor>(frontend, stream, run, quick, context);
  self->self_ = self;
  self->Advance(std::unique_lock(self->mutex_));
  self->on_closing_.emplace(frontend.closing.get_token(), [raw = self.get()] { raw->Close(); });
  return self.get();
}

RunStreamReactor::RunStreamReactor(Frontend& frontend, const Method& stream, const Method& run,
                                   QuickRuns& quick, const grpc::CallbackServerContext& context)
    : call_(frontend, stream, context), run_(run), quick_(quick) {}

void RunStreamReactor::OnReadDone(bool ok) {
  std::unique_lock lock(mutex_);
  reading_ = false;
  if (finished_) return;
  refused_ = ok ? Refusal(incoming_) : absl::OkStatus();
  if (!ok || !refused_.ok()) {
    last_read_ = true;
    return Advance(std::move(lock));
  }
  ++running_;
  call_.Received(incoming_.ByteSizeLong());
  v1::RunStreamRequest request = std::move(incoming_);
  incoming_.Clear();
  lock.unlock();

  if (quick_.IsQuick(request.run().handle())) {
    const QuickGuard guard(call_.frontend());
    if (guard.held()) return Answer(request);
  }
  auto shared = std::make_shared<v1::RunStreamRequest>(std::move(request));
  const bool taken = call_.frontend().executor.Submit(
      [self = shared_from_this(), shared] { self->Answer(*shared); });
  {
    std::unique_lock again(mutex_);
    if (!taken) {
      v1::RunStreamResponse refused;
      refused.set_id(shared->id());
      ToRpcStatus(TooManyCalls(), *refused.mutable_status());
      call_.Sent(refused.ByteSizeLong());
      answers_.push_back(std::move(refused));
      --running_;
    }
    Advance(std::move(again));
  }
}

void RunStreamReactor::Answer(const v1::RunStreamRequest& request) {
  const double start = MonotonicSeconds();
  run_.metrics.Started();
  v1::RunStreamResponse response;
  response.set_id(request.id());
  absl::Status status = call_.cancel().Check();
  if (status.ok()) {
    status = RunOnWire(call_.frontend(), call_.who(), request.run(), call_.cancel(),
                       *response.mutable_run());
  }
  const double seconds = MonotonicSeconds() - start;
  quick_.Ran(request.run().handle(), status.ok() ? seconds : 1);
  RecordEnd(call_.frontend(), run_, status, seconds);
  ToRpcStatus(status, *response.mutable_status());
  if (!status.ok()) response.clear_run();
  call_.Sent(response.ByteSizeLong());
  std::unique_lock lock(mutex_);
  answers_.push_back(std::move(response));
  --running_;
  Advance(std::move(lock));
}

void RunStreamReactor::OnWriteDone(bool ok) {
  std::unique_lock lock(mutex_);
  writing_ = false;
  answers_.pop_front();
  if (!ok) broken_ = true;
  Advance(std::move(lock));
}

void RunStreamReactor::OnCancel() {
  call_.Stop();
  std::unique_lock lock(mutex_);
  broken_ = true;
  Advance(std::move(lock));
}

void RunStreamReactor::Close() {
  std::unique_lock lock(mutex_);
  closing_ = true;
  Advance(std::move(lock));
}

void RunStreamReactor::Advance(std::unique_lock<std::mutex> lock) {
  if (finished_) return;
  if (broken_ && answers_.size() > (writing_ ? 1u : 0u)) {
    answers_.erase(answers_.begin() + (writing_ ? 1 : 0), answers_.end());
  }
  // gRPC may call back before StartRead and StartWrite return, so both happen without the lock.
  const bool read = !reading_ && !last_read_ && !broken_ && !closing_ &&
                    running_ + answers_.size() < call_.frontend().limits.max_stream_requests;
  const bool write = !writing_ && !answers_.empty();
  // gRPC ends a read that waits when the stream is finished.
  const bool end = !read && (!reading_ || closing_) && !write && !writing_ && running_ == 0 &&
                   answers_.empty() && (last_read_ || broken_ || closing_);
  const v1::RunStreamResponse* next = write ? &answers_.front() : nullptr;
  reading_ = reading_ || read;
  writing_ = writing_ || write;
  finished_ = end;
  const bool broken = broken_;
  const bool last = last_read_ || broken_;
  const auto keep = shared_from_this();
  lock.unlock();
  if (read) StartRead(&incoming_);
  if (write) StartWrite(next);
  if (!end) return;
  absl::Status status = broken ? call_.cancel().Check() : refused_;
  if (status.ok() && !last) status = Unavailable("the server is draining");
  Finish(call_.End(status));
}

}  // namespace rlx::server
