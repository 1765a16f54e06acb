// SPDX-License-Identifier: Apache-2.0
#include "server/run_stream.h"

#include "runtime/base/clock.h"
#include "server/run.h"

namespace rlx::server {

RunStreamReactor::Way RunStreamReactor::WayOf(const v1::RunStreamRequest& request) {
  return quick_.IsQuick(request.run().handle()) ? Way::kHere : Way::kExecutor;
}

absl::Status RunStreamReactor::Fill(const v1::RunStreamRequest& request,
                                    v1::RunStreamResponse& response) {
  const double start = MonotonicSeconds();
  run_.metrics.Started();
  response.set_id(request.id());
  absl::Status status = call().CheckWaited();
  if (status.ok()) {
    status = RunOnWire(frontend(), call().who(), request.run(), call().cancel(),
                       *response.mutable_run());
  }
  const double seconds = MonotonicSeconds() - start;
  quick_.Ran(request.run().handle(), status.ok() ? seconds : 1);
  RecordEnd(frontend(), run_, status, seconds);
  ToRpcStatus(status, *response.mutable_status());
  if (!status.ok()) response.clear_run();
  return absl::OkStatus();
}

void RunStreamReactor::Refuse(const v1::RunStreamRequest& request, const absl::Status& why,
                              v1::RunStreamResponse& response) {
  response.set_id(request.id());
  ToRpcStatus(why, *response.mutable_status());
}

}  // namespace rlx::server
