// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/inline.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

//   if(p, captures..) { then } { else }   =>   where(p, then(captures..), else(captures..))
// for targets that do not run `if`: both branches are computed and one is taken, result by result.
namespace rlx::passes {
namespace {

// A copy of the node: the graph grows.
void LowerIf(Rewriter& rewriter, NodeId id, Node node) {
  GraphBuilder& b = rewriter.For({id});
  const std::vector<Value> captures(node.operands.begin() + 1, node.operands.end());
  const std::vector<Value> yes = Inline(b, *node.subgraphs[0], captures);
  const std::vector<Value> no = Inline(b, *node.subgraphs[1], captures);
  if (!b.status().ok()) return;
  for (size_t r = 0; r < node.results.size(); ++r) {
    const Value taken = b.Where(node.operands[0], yes[r], no[r]);
    if (taken.valid()) rewriter.Replace({id, static_cast<int32_t>(r)}, taken);
  }
}

}  // namespace

absl::Status LowerControlFlow(Graph& graph, PassContext& context) {
  if (context.Accepts(Info(OpKind::kIf).claim)) return absl::OkStatus();
  bool changed = false;
  // A branch may hold another `if`: one round for each level of nesting.
  for (context.changed = true; context.changed;) {
    context.changed = false;
    Rewriter rewriter(graph, context);
    for (NodeId id = 0; id < rewriter.size(); ++id) {
      if (graph.node(id).op != OpKind::kIf) continue;
      Applied(context, Rule::kControlFlow, graph, {id},
              Cat(Label(graph, id), " computes both branches"));
      LowerIf(rewriter, id, graph.node(id));
    }
    RLX_TRY(rewriter.Finish());
    changed |= context.changed;
  }
  context.changed = changed;
  return absl::OkStatus();
}

extern const Pass kLowerControlFlowPass = {
    .name = "lower_control_flow",
    .run = LowerControlFlow,
    .after = "inline_custom",
    .why = "Before anything that looks for patterns: branches become ordinary nodes",
};

}  // namespace rlx::passes
