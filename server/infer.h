// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "inference/grpc_service.pb.h"
#include "server/frontend.h"
#include "server/models/served_model.h"

namespace rlx::server {

// One ModelInfer from wire to wire: elements are read where they lie in the request, outputs are
// written straight into the response, in raw form. InvalidArgument, in Triton's words, for what
// does not fit the model; outputs that no message can hold are refused before anything runs.
absl::Status InferOnWire(Frontend& frontend, const ServedModel& model,
                         const inference::ModelInferRequest& request, const CancelToken& cancel,
                         inference::ModelInferResponse& response);

}  // namespace rlx::server
