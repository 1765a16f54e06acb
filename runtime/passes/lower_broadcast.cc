// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

//   add(a [n,1], b [n,m])   =>   add(expand(a, [n,m]), b)
// for targets whose elementwise ops take equal shapes, one element, or a trailing part (HLO on
// TPU). Expansion of a weight is done when it is bound.
namespace rlx::passes {
namespace {

constexpr Rule kRule("broadcast");

// Whether `from` is one element or the last extents of `to`.
bool IsTrailing(const TensorType& from, const Shape& to) {
  const auto is_one = [](const Dim& dim) { return dim == Dim(1); };
  if (std::ranges::all_of(from.shape, is_one)) return true;
  return from.shape.size() <= to.size() &&
         std::equal(from.shape.rbegin(), from.shape.rend(), to.rbegin());
}

}  // namespace

absl::Status LowerBroadcast(Graph& graph, PassContext& context) {
  if (context.target != FusionTarget::kTpu) return absl::OkStatus();
  Rewriter rewriter(graph, context);
  for (NodeId id = 0; id < rewriter.size(); ++id) {
    if (!IsPointwise(graph.node(id).op) || graph.node(id).operands.size() < 2) continue;
    // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): the graph grows
    const Node node = graph.node(id);
    const Shape& to = node.results[0].shape;
    std::vector<Value> operands = node.operands;
    for (Value& operand : operands) {
      if (IsTrailing(graph.type(operand), to)) continue;
      operand = rewriter.For({id}).Expand(operand, to);
    }
    if (operands == node.operands) continue;
    Applied(context, kRule, graph, {id}, Cat(Label(graph, id), " gets operands of its own shape"));
    GraphBuilder& b = rewriter.For({id});
    rewriter.Replace({id, 0}, b.Emit(node.op, std::move(operands), node.attrs));
  }
  return rewriter.Finish();
}

extern const Pass kLowerBroadcastPass = {
    .name = "lower_broadcast",
    .run = LowerBroadcast,
    .after = "mixed_precision",
    .why_out =
        [](const PassContext& c) {
          return std::string_view(c.target == FusionTarget::kTpu ? "" : "the target broadcasts");
        },
    .why = "After patterns, whose biases and residuals it would hide; before regions",
};

}  // namespace rlx::passes
