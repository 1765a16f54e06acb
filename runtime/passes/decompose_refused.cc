// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/decompose.h"
#include "runtime/passes/passes.h"

// Each op whose kind the back end claims but not this node of it: a type or a shape it has no
// kernel for. Nodes with symbolic extents are asked about once they are bound.
namespace rlx::passes {
absl::Status DecomposeRefused(Graph& graph, PassContext& context) {
  if (!context.runs || context.keep_unclaimed) return absl::OkStatus();
  RLX_TRY(DecomposeWhere(
      graph, context,
      [&](const Graph& g, NodeId id) {
        const Node& node = g.node(id);
        return context.native.count(std::string(Info(node.op).claim)) == 0 && IsStatic(g, node) &&
               !context.runs(g, id);
      },
      "is refused by the back end as it stands"));
  return FoldParts(graph, context);
}

extern const Pass kDecomposeRefusedPass = {
    .name = "decompose_refused",
    .run = DecomposeRefused,
    .after = "widen_refused",
    .why =
        "Last: what the back end refuses as it stands (a type, a shape) is taken apart node by "
        "node",
};

}  // namespace rlx::passes
