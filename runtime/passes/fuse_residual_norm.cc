// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/fuse_residual_norm.h"

#include <algorithm>

#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

namespace rlx::passes {
namespace {

bool OverLastAxis(const Node& norm) {
  const int64_t axis = norm.Int("axis");
  return axis == -1 || axis == norm.results[0].rank() - 1;
}

// gamma and beta must exist before the sum: one computed from it cannot be read by what makes it.
bool ReadyBefore(const Node& norm, NodeId sum, const std::vector<bool>& fixed) {
  return std::all_of(norm.operands.begin() + 1, norm.operands.end(),
                     [&](Value v) { return fixed[v.node] || v.node < sum; });
}

}  // namespace

absl::Status FuseResidualNorm(Graph& graph, PassContext& context, const ResidualNorm& kind) {
  Rewriter rewriter(graph, context);
  const std::vector<bool> fixed = WeightOnly(graph);
  for (NodeId root = 0; root < rewriter.size(); ++root) {
    const Node& norm = graph.node(root);  // until the fused node is emitted
    if (norm.op != kind.norm || !OverLastAxis(norm)) continue;
    const Value sum = norm.operands[0];
    const Node& add = graph.node(sum.node);
    if (add.op != OpKind::kAdd || rewriter.Taken(sum.node)) continue;
    if (!ReadyBefore(norm, sum.node, fixed) || fixed[sum.node]) continue;
    const Value a = add.operands[0], b = add.operands[1];
    if (graph.type(a) != graph.type(sum) || graph.type(b) != graph.type(sum)) {
      Missed(context, kind.rule, Reason::kResidualShape, graph, sum.node,
             Cat(Label(graph, sum.node), " adds ", graph.type(a), " and ", graph.type(b)));
      continue;
    }
    const bool alone = rewriter.uses().OnlyUser(sum) == root;
    Applied(context, kind.rule, graph, {root, sum.node},
            Cat(Label(graph, root), " takes the residual sum ", Label(graph, sum.node),
                alone ? "" : ", which others read too"),
            {.launches = 1,
             // A sum that others read is still written; only the norm's read of it goes.
             .bytes = RoundTripBytes(graph, {sum}) / (alone ? 1 : 2)});
    std::vector<Value> operands = {a, b};
    operands.insert(operands.end(), norm.operands.begin() + 1, norm.operands.end());
    const std::vector<Value> fused =
        rewriter.For({root, sum.node})
            .EmitAll(kind.fused, std::move(operands), {{"eps", norm.Float("eps")}});
    if (fused.size() != 2) break;
    rewriter.Replace({root, 0}, fused[0]);
    rewriter.Replace(sum, fused[1]);
  }
  return rewriter.Finish();
}

}  // namespace rlx::passes
