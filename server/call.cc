// SPDX-License-Identifier: Apache-2.0
#include "server/call.h"

#include <chrono>

#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/text.h"

namespace rlx::server {
namespace {

// The wire's deadline is on the wall clock; ours must not jump with it.
std::optional<CancelToken::Clock::time_point> Deadline(const grpc::CallbackServerContext& context) {
  using std::chrono::system_clock;
  const system_clock::time_point at = context.deadline();
  if (at == system_clock::time_point::max()) return std::nullopt;
  const auto left = at - system_clock::now();
  // Without a deadline gRPC says one so far away that sums of it overflow.
  if (left > std::chrono::hours(24 * 365)) return std::nullopt;
  return CancelToken::Clock::now() + std::chrono::duration_cast<CancelToken::Clock::duration>(left);
}

}  // namespace

void RecordEnd(Frontend& frontend, const Method& method, const absl::Status& status,
               double seconds) {
  method.metrics.Finished(status.code(), seconds);
  if (status.ok()) {
    if (frontend.log.Enabled(LogLevel::kDebug)) {
      frontend.log.Debug(
          "rpc", {{"service", method.service}, {"method", method.name}, {"seconds", seconds}});
    }
    return;
  }
  const std::string limit = FaultOf(status).limit;
  if (!limit.empty()) frontend.metrics.LimitRejected(limit);
  const bool ours =
      status.code() == absl::StatusCode::kInternal || status.code() == absl::StatusCode::kDataLoss;
  const std::string text = Cat(status);
  frontend.log.Log(ours ? LogLevel::kError : LogLevel::kInfo, "rpc failed",
                   {{"service", method.service},
                    {"method", method.name},
                    {"status", text},
                    {"seconds", seconds}});
}

// Queues first: what was accepted runs.
int64_t DrainAll(Frontend& frontend, const CancelToken& cancel) {
  const int64_t waiting = frontend.queues.Drain(cancel);
  return waiting > 0 ? waiting : frontend.engine.Drain(cancel);
}

absl::Status TooManyCalls(Frontend& frontend) {
  frontend.metrics.AdmissionRejected("queue_full");
  return TryLater(ResourceExhausted("too many calls wait already"));
}

absl::Status CheckWaited(Frontend& frontend, const CancelToken& cancel) {
  absl::Status status = cancel.Check();
  if (absl::IsDeadlineExceeded(status)) frontend.metrics.AdmissionRejected("deadline");
  return status;
}

Call::Call(Frontend& frontend, const Method& method, const grpc::CallbackServerContext& context,
           Kind kind)
    : frontend_(frontend),
      method_(method),
      cancel_(stop_.get_token(), Deadline(context)),
      start_(MonotonicSeconds()) {
  if (kind == Kind::kAnswer) owed_.emplace(frontend.calls);
  method_.metrics.Started();
}

FusionReport& Call::misses() {
  if (misses_ == nullptr) misses_ = std::make_unique<FusionReport>();
  return *misses_;
}

grpc::Status Call::End(const absl::Status& status) {
  RecordEnd(frontend_, method_, status, MonotonicSeconds() - start_);
  return ToGrpc(status, misses_.get());
}

}  // namespace rlx::server
