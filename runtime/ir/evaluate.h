// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/ir/graph.h"

namespace rlx {

// A value during evaluation: floats and complex in double (C64 interleaved), Bool and integers
// exactly.
struct EvalTensor {
  DType dtype = DType::kF32;
  std::vector<int64_t> dims;
  std::vector<double> f;   // when dtype is a float or C64
  std::vector<int64_t> i;  // when IsExact(dtype)

  int64_t size() const;  // elements
  double at(int64_t k) const { return i.empty() ? f[k] : static_cast<double>(i[k]); }
  static EvalTensor Zeros(DType dtype, std::vector<int64_t> dims);
  static EvalTensor From(const HostTensor& tensor);
  HostTensor ToHost() const;  // rounded to dtype
};

// What a row's evaluate function reads and fills: results arrive zeroed with their inferred types.
struct EvalContext {
  const Node& node;
  std::vector<const EvalTensor*> operands;
  std::vector<EvalTensor>& results;
};

using TensorMap = std::map<std::string, HostTensor, std::less<>>;

// Runs a verified MIR graph with static shapes on the host in double, the oracle of every pass and
// back end. `inputs` gives every input and param by name. Results in output order, unrounded.
// Indices out of range are InvalidArgument naming the node.
absl::StatusOr<std::vector<EvalTensor>> Evaluate(const Graph& graph, const TensorMap& inputs);

// A nested graph over values for its inputs, by position.
absl::StatusOr<std::vector<EvalTensor>> EvaluatePositional(
    const Graph& graph, const std::vector<const EvalTensor*>& inputs);

// One node over given operand values (constant folding).
absl::StatusOr<std::vector<EvalTensor>> EvaluateNode(const Node& node,
                                                     std::vector<const EvalTensor*> operands);

}  // namespace rlx
