// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "inference/model_config.pb.h"
#include "runtime/ir/lir.h"

// What a model with sequence_batching takes and gives besides what its callers see.
namespace rlx::server {

struct SequencePlan {
  using Kind = inference::ModelSequenceBatching::Control::Kind;
  // An input that says where in its sequence a request is: one element for each.
  struct Control {
    std::string input;
    Kind kind = inference::ModelSequenceBatching::Control::CONTROL_SEQUENCE_START;
    DType dtype = DType::kI32;
    std::vector<int64_t> dims;  // of one request: ones
    std::string no, yes;        // its bytes; empty for CORRID
  };
  // An input that is what an output was at the sequence's request before, at first zeros.
  struct State {
    std::string input, output;
    DType dtype = DType::kF32;
    std::vector<int64_t> dims;  // of one request
    size_t bytes = 0;
  };
  std::vector<Control> controls;
  std::vector<State> states;

  bool HidesInput(std::string_view name) const;
  bool HidesOutput(std::string_view name) const;
};

// Of sequence_batching in `config`, held against the model. FailedPrecondition naming the tensor
// where the two do not agree, or where a state has no fixed size.
absl::StatusOr<SequencePlan> ReadSequencePlan(const inference::ModelConfig& config,
                                              const BufferPlan& model);

}  // namespace rlx::server
