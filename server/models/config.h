// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "inference/model_config.pb.h"
#include "runtime/ir/lir.h"

// config.pbtxt: what an operator says of a model, in Triton's words.
namespace rlx::server {

// The names of element types as KServe v2 has them. Empty, and TYPE_INVALID, for those it lacks.
std::string_view KserveName(DType dtype);
inference::DataType KserveType(DType dtype);

// Reads a config.pbtxt. InvalidArgument with the line for text that is none, and for a field that
// has no meaning here and would change what the model computes. `ignored` gets the names of
// Triton's other fields that have none, and they are left out.
absl::StatusOr<inference::ModelConfig> ParseModelConfig(std::string_view text,
                                                        std::set<std::string>& ignored);

// Of the versions that are there those that the policy names. NotFound when one that it names
// outright is not there.
absl::StatusOr<std::set<int64_t>> ServedVersions(const inference::ModelVersionPolicy& policy,
                                                 const std::set<int64_t>& there);

// Holds what `config` says of the model `name` against the model itself, and fills in what it
// leaves open. FailedPrecondition, naming the tensor, where the two do not agree.
absl::Status CompleteModelConfig(std::string_view name, const BufferPlan& model,
                                 inference::ModelConfig& config);

}  // namespace rlx::server
