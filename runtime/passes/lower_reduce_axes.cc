// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/linear.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

//   reduce(x, axes)   =>   reshape(reduce(reshape(transpose(x, kept.. axes..), [kept.., n]), last))
// where the back end refuses the first form and takes the second: kernels that fold rows alone.
namespace rlx::passes {
namespace {

constexpr Rule kRule("reduce_axes");

struct Rows {
  std::vector<int64_t> order;  // kept axes, then folded ones
  Shape shape;                 // kept extents, then the product of the folded ones
};

Rows AsRows(const TensorType& x, const std::vector<int64_t>& axes) {
  Rows rows;
  Dim folded = 1;
  for (int64_t axis = 0; axis < x.rank(); ++axis) {
    if (std::ranges::count(axes, axis) > 0) continue;
    rows.order.push_back(axis);
    rows.shape.push_back(x.shape[axis]);
  }
  for (int64_t axis : axes) {
    rows.order.push_back(axis);
    folded = folded * x.shape[axis];
  }
  rows.shape.push_back(folded);
  return rows;
}

}  // namespace

absl::Status LowerReduceAxes(Graph& graph, PassContext& context) {
  if (!context.runs) return absl::OkStatus();
  Rewriter rewriter(graph, context);
  for (NodeId id = 0; id < rewriter.size(); ++id) {
    if (Info(graph.node(id).op).claim != "Reduce" || !IsStatic(graph, graph.node(id))) continue;
    // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): the graph grows
    const Node node = graph.node(id);
    const TensorType& x = graph.type(node.operands[0]);
    const Rows rows = AsRows(x, node.Ints("axes"));
    const auto last = static_cast<int64_t>(rows.shape.size()) - 1;
    const std::vector<Attr> attrs = {{"axes", std::vector<int64_t>{last}}, {"keep_dims", false}};
    if (context.runs(graph, id) || !WouldRun(context, node.op, {{x.dtype, rows.shape}}, attrs)) {
      continue;
    }
    Applied(context, kRule, graph, {id}, Cat(Label(graph, id), " folds rows instead"));
    GraphBuilder& b = rewriter.For({id});
    Value value = node.operands[0];
    if (!std::ranges::is_sorted(rows.order)) value = b.Transpose(value, rows.order);
    value = b.Emit(node.op, {b.Reshape(value, rows.shape)}, attrs);
    rewriter.Replace({id, 0}, b.Reshape(value, node.results[0].shape));
  }
  return rewriter.Finish();
}

extern const Pass kLowerReduceAxesPass = {
    .name = "lower_reduce_axes",
    .run = LowerReduceAxes,
    .needs = {OpKind::kReduceSum, OpKind::kReduceMean, OpKind::kReduceMax, OpKind::kReduceMin,
              OpKind::kReduceProd},
    .after = "unfuse_elementwise_regions",
    .why =
        "What kernels that fold rows alone refuse; before the last, which knows no other form "
        "of it",
};

}  // namespace rlx::passes
