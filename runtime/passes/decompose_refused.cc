// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/ir/op_info.h"
#include "runtime/passes/decompose.h"
#include "runtime/passes/passes.h"

// Each op whose kind the back end claims but not this node of it: a type or a shape it has no
// kernel for. Nodes with symbolic extents are asked about once they are bound.
namespace rlx::passes {
namespace {

bool IsStatic(const Graph& graph, const Node& node) {
  const auto is_static = [](const TensorType& type) { return type.is_static(); };
  return std::ranges::all_of(node.results, is_static) &&
         std::ranges::all_of(node.operands, [&](Value v) { return graph.type(v).is_static(); });
}

}  // namespace

absl::Status DecomposeRefused(Graph& graph, PassContext& context) {
  if (!context.runs) return absl::OkStatus();
  return DecomposeWhere(
      graph, context,
      [&](const Graph& g, NodeId id) { return IsStatic(g, g.node(id)) && !context.runs(g, id); },
      "is refused by the back end as it stands");
}

}  // namespace rlx::passes
