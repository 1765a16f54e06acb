// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "runtime/passes/match.h"
#include "runtime/passes/pass.h"

// Readers of larger structures: they follow operands and say what they found, without asking who
// else reads it. Enclosed asks that, for the structure as a whole.
namespace rlx::passes {

// activation(x·w + bias) however it is written: matmul, add and activation, or the fused product
// without a residual.
struct Linear {
  Value x, w, bias;  // bias: [n] or [1, .., n], invalid when there is none
  std::string activation = "none";
  std::vector<NodeId> nodes;  // the last one first
};
std::optional<Linear> ReadLinear(const Graph& graph, Value value);
// The same without an activation of its own.
std::optional<Linear> ReadProjection(const Graph& graph, Value value);

// Whether a bias of this type adds to every row of n columns: [n] or [1, .., 1, n].
bool IsRow(const TensorType& bias, const Dim& n);

// Nothing when every result of `nodes` but those of the first one is read by `nodes` alone.
// Otherwise the reason and a sentence about the node that something else needs, `at`.
struct Leak {
  Reason reason;
  NodeId at;
  std::string message;
};
std::optional<Leak> FindLeak(const Graph& graph, const Uses& uses,
                             const std::vector<NodeId>& nodes);

// Whether there can be a node like this, and the back end, as far as it can be asked, runs it as it
// stands. Asked before a pass makes one that would only be taken apart again.
bool WouldRun(const PassContext& context, OpKind op, const std::vector<TensorType>& operands,
              const std::vector<Attr>& attrs);

}  // namespace rlx::passes
