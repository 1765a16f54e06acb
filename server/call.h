// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/server_context.h>

#include <memory>
#include <optional>
#include <stop_token>

#include "runtime/base/cancel.h"
#include "runtime/ir/report.h"
#include "server/frontend.h"
#include "server/status.h"

namespace rlx::server {

// One RPC method, made once per service: its name, and its counters.
struct Method {
  std::string_view service;
  std::string_view name;
  MethodMetrics& metrics;

  Method(Frontend& frontend, std::string_view service, std::string_view name)
      : service(service), name(name), metrics(frontend.metrics.Method(service, name)) {}
};

// Counts an answer and logs a failure: of a call, or of one request of a stream.
void RecordEnd(Frontend& frontend, const Method& method, const absl::Status& status,
               double seconds);

// Refuses new work from now on; returns when no request waits or runs any more, or at `cancel` with
// how many still do.
int64_t DrainAll(Frontend& frontend, const CancelToken& cancel);

// What the executor's full queue says; counted.
absl::Status TooManyCalls(Frontend& frontend);

// cancel.Check() of what waited for a thread and is about to begin: counts what is refused.
absl::Status CheckWaited(Frontend& frontend, const CancelToken& cancel);

// What surrounds every call, in one place: who asks, the deadline, cancellation, counters, the log
// line. Made when the call arrives, ended once.
class Call {
 public:
  // A transfer is a call that its caller can take up again where it broke off: the daemon's end
  // does not wait for it.
  enum class Kind { kAnswer, kTransfer };
  Call(Frontend& frontend, const Method& method, const grpc::CallbackServerContext& context,
       Kind kind = Kind::kAnswer);
  ~Call() { frontend_.trimmer.CallEnded(); }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  Frontend& frontend() { return frontend_; }
  engine::Engine& engine() { return frontend_.engine; }
  const engine::Principal& who() const { return who_; }
  const CancelToken& cancel() const { return cancel_; }
  absl::Status CheckWaited() { return server::CheckWaited(frontend_, cancel_); }
  double start_seconds() const { return start_; }

  // A message came or goes out, of so many bytes as it travels. Any thread.
  void Received(size_t bytes) { method_.metrics.Received(bytes); }
  void Sent(size_t bytes) { method_.metrics.Sent(bytes); }

  // The caller has gone. Any thread.
  void Stop() { stop_.request_stop(); }

  // Where a compile leaves the misses that assert_fusion_clean refused: End tells of them.
  FusionReport& misses();

  // Counts, logs failures, and converts for the wire. Exactly once, last.
  grpc::Status End(const absl::Status& status);

 private:
  Frontend& frontend_;
  const Method& method_;
  std::optional<engine::Gate::Pass> owed_;  // until the reactor has gone: its answer is out then
  engine::Principal who_;
  std::stop_source stop_;
  CancelToken cancel_;
  double start_ = 0;
  std::unique_ptr<FusionReport> misses_;  // few calls have any
};

}  // namespace rlx::server
