// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/ir/op_info.h"

namespace rlx {

// Whether nodes are what CompleteAndInfer makes of them, without a copy of each: a module has many.
class InferenceChecker {
 public:
  explicit InferenceChecker(const Graph& graph) : graph_(graph) {}

  // As CompleteAndInfer, of a node of the graph that is to have attributes in full form and
  // declared results. Constraints that inference finds are nobody's here.
  absl::Status Check(const Node& node);

 private:
  absl::Status NotInFullForm(Node node) const;

  const Graph& graph_;
  std::vector<TensorType> operands_;  // kept for its memory alone
};

}  // namespace rlx
