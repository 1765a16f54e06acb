// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

//   x [b,s,h] ── rms_norm ── reshape [b·s,h]   =>   rms_norm(reshape(x))
// A norm looks at rows, so it may as well see them flat: the reshape of x is a view, and what reads
// the rows reads the norm itself.
namespace rlx::passes {
namespace {

constexpr Rule kRule("rms_norm_reshape");

bool FlattensRows(const Graph& graph, const Node& reshape, const TensorType& x) {
  const TensorType& flat = reshape.results[0];
  if (x.rank() < 3 || flat.rank() != 2 || flat.shape[1] != x.shape.back()) return false;
  const Node& norm = graph.node(reshape.operands[0].node);
  return norm.Int("axis") == x.rank() - 1;
}

}  // namespace

absl::Status FuseRmsNormReshape(Graph& graph, PassContext& context) {
  Rewriter rewriter(graph, context);
  for (NodeId root = 0; root < rewriter.size(); ++root) {
    if (graph.node(root).op != OpKind::kReshape) continue;
    const NodeId norm = graph.node(root).operands[0].node;
    if (graph.node(norm).op != OpKind::kRmsNorm || rewriter.Taken(norm)) continue;
    const Value x = graph.node(norm).operands[0];
    if (!FlattensRows(graph, graph.node(root), graph.type(x))) continue;
    if (rewriter.uses().IsOutput({root, 0}) || rewriter.uses().OnlyUser({norm, 0}) != root) {
      const bool output =
          rewriter.uses().IsOutput({root, 0}) || rewriter.uses().IsOutput({norm, 0});
      Missed(context, kRule, output ? Reason::kGraphOutput : Reason::kMultiConsumer, graph, norm,
             Cat(Label(graph, norm), output ? " or its reshape is an output of the module"
                                            : " is read in its own shape too"));
      continue;
    }
    Applied(context, kRule, graph, {root, norm}, Cat(Label(graph, norm), " sees its rows flat"));
    const std::vector<Attr> eps = {{"eps", graph.node(norm).Float("eps")}};
    const Shape flat = graph.type({root, 0}).shape;
    std::vector<Value> operands = graph.node(norm).operands;
    GraphBuilder& b = rewriter.For({root, norm});
    operands[0] = b.Reshape(x, flat);
    rewriter.Replace({root, 0}, b.Emit(OpKind::kRmsNorm, std::move(operands), eps));
  }
  return rewriter.Finish();
}

extern const Pass kFuseRmsNormReshapePass = {
    .name = "fuse_rms_norm_reshape",
    .run = FuseRmsNormReshape,
    .needs = {OpKind::kRmsNorm},
    .fusion = true,
    .after = "fuse_residual_rms_norm",
    .why = "After the sums have gone into the norms, which a reshape between the two would hide",
};

}  // namespace rlx::passes
