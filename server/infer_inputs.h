// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>

#include "inference/grpc_service.pb.h"
#include "server/models/served_model.h"

namespace rlx::server {

// The inputs of one ModelInfer, checked against the model. What they refer to is the request's, or
// kept here: elements of narrow integers travel as wider ones.
class InferInputs {
 public:
  absl::Status Read(const ServedModel& model, const inference::ModelInferRequest& request);
  const std::vector<engine::NamedInput>& all() const { return inputs_; }

 private:
  absl::Status Add(const ServedModel& model, const ServedTensor& declared,
                   const inference::ModelInferRequest::InferInputTensor& input,
                   const std::string* raw);

  std::vector<engine::NamedInput> inputs_;
  std::deque<std::string> narrowed_;
  int64_t batch_ = -1;  // of the first input, where the model has one
};

// The request's own parameters. None changes what is computed.
absl::Status CheckInferParameters(const inference::ModelInferRequest& request);

}  // namespace rlx::server
