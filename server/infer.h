// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "inference/grpc_service.pb.h"
#include "server/frontend.h"
#include "server/models/served_model.h"

namespace rlx::server {

class SharedMemory;

// One ModelInfer from wire to wire, of a model without a queue: elements are read where they lie in
// the request, outputs are written straight into the response, in raw form; what lies or shall lie
// in shared memory is copied. InvalidArgument, in Triton's words, for what does not fit the model;
// outputs that no message can hold are refused before anything runs, and so is a run that has never
// been fast enough for the deadline.
absl::Status InferOnWire(Frontend& frontend, const ServedModel& model, const SharedMemory& shared,
                         const inference::ModelInferRequest& request, const CancelToken& cancel,
                         inference::ModelInferResponse& response);

// DeadlineExceeded when even a fast run would end after the deadline, as far as is known.
absl::Status CheckDeadline(Frontend& frontend, const ServedModel& model, uint64_t latency_key,
                           const CancelToken& cancel);

// What an answer says besides its outputs.
void SignAnswer(const ServedModel& model, const inference::ModelInferRequest& request,
                inference::ModelInferResponse& response);

// A request has ended; it began at `start`.
void CountRequest(const ServedModel& model, bool ok, double start);

// The model's session, as QuickRuns takes it.
std::string_view SessionName(const ServedModel& model);

}  // namespace rlx::server
