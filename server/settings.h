// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "inference/grpc_service.pb.h"

namespace rlx {
class Logger;
}
namespace rlx::engine {
class Engine;
}

// What KServe v2 may set while the daemon runs, in Triton's names. All of a request holds, or none
// of it: InvalidArgument for what is not known or cannot be set.
namespace rlx::server {

absl::Status SetLog(const inference::LogSettingsRequest& request, Logger& log,
                    inference::LogSettingsResponse& response);

absl::Status SetTraces(const inference::TraceSettingRequest& request, engine::Engine& engine,
                       inference::TraceSettingResponse& response);

}  // namespace rlx::server
