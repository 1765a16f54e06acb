// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rlx/v1/sessions.pb.h"
#include "server/frontend.h"

namespace rlx::server {

// One run from wire to wire: inputs are read where they lie in the request, outputs are written
// straight into the response. Outputs that no message can hold are refused before anything runs.
absl::Status RunOnWire(Frontend& frontend, const engine::Principal& who,
                       const v1::RunRequest& request, const CancelToken& cancel,
                       v1::RunResponse& response);

// A handle as it came: 16 bytes, else NotFound like any unknown one.
absl::StatusOr<RandomId> HandleFromWire(std::string_view bytes);

}  // namespace rlx::server
