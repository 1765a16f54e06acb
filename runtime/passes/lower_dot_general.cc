// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

//   dot_general(lhs, rhs)  =>  reshape(matmul(lhs to [batch, rows, k], rhs to [batch, k, columns]))
// Without batch axes the right side has rank 2 and the left one keeps its free axes, the form that
// bias, activation and shared-input fusion know. Transposes of a weight are done when it is bound.
namespace rlx::passes {
namespace {

constexpr Rule kRule("dot_general");

using Axes = std::vector<int64_t>;

Axes FreeAxes(int rank, const Axes& batch, const Axes& contracting) {
  Axes free;
  for (int64_t axis = 0; axis < rank; ++axis) {
    if (std::ranges::count(batch, axis) + std::ranges::count(contracting, axis) == 0) {
      free.push_back(axis);
    }
  }
  return free;
}

Dim Product(const Shape& shape, const Axes& axes) {
  Dim product = 1;
  for (int64_t axis : axes) product = product * shape[axis];
  return product;
}

Axes Joined(const Axes& a, const Axes& b, const Axes& c = {}) {
  Axes all = a;
  all.insert(all.end(), b.begin(), b.end());
  all.insert(all.end(), c.begin(), c.end());
  return all;
}

Value Arrange(GraphBuilder& b, Value x, const Axes& order, Shape shape) {
  if (!std::ranges::is_sorted(order)) x = b.Transpose(x, order);
  return b.type(x).shape == shape ? x : b.Reshape(x, std::move(shape));
}

// No batch axes: lhs as [free.., k] and rhs as [k, n].
Value LowerPlain(GraphBuilder& b, const Node& node) {
  const Value lhs = node.operands[0], rhs = node.operands[1];
  const Shape l = b.type(lhs).shape, r = b.type(rhs).shape;
  const Axes &lc = node.Ints("lhs_contracting"), &rc = node.Ints("rhs_contracting");
  const Axes lf = FreeAxes(static_cast<int>(l.size()), {}, lc);
  const Axes rf = FreeAxes(static_cast<int>(r.size()), {}, rc);
  Shape rows;
  for (int64_t axis : lf) rows.push_back(l[axis]);
  if (rows.empty()) rows.push_back(1);
  rows.push_back(Product(l, lc));
  const Value x = Arrange(b, lhs, Joined(lf, lc), rows);
  const Value w = Arrange(b, rhs, Joined(rc, rf), {Product(r, rc), Product(r, rf)});
  const Value product = b.MatMul(x, w);
  const Shape& out = node.results[0].shape;
  return b.type(product).shape == out ? product : b.Reshape(product, out);
}

}  // namespace

absl::Status LowerDotGeneral(Graph& graph, PassContext& context) {
  Rewriter rewriter(graph, context);
  for (NodeId id = 0; id < rewriter.size(); ++id) {
    if (graph.node(id).op != OpKind::kDotGeneral) continue;
    // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): the graph grows
    const Node node = graph.node(id);
    const std::string label = Label(graph, id);
    GraphBuilder b(graph);
    b.SetSources(node.sources);
    Value product;
    if (node.Ints("lhs_batch").empty()) {
      product = LowerPlain(b, node);
    } else if (const auto parts = Info(node.op).decompose(b, node); parts.ok()) {
      product = parts->front();
    }
    // Left as it is where symbolic extents do not let a reshape be written.
    if (!b.status().ok() || !product.valid() || graph.type(product) != node.results[0]) continue;
    rewriter.Take({id});
    rewriter.Replace({id, 0}, product);
    Applied(context, kRule, graph, {id}, Cat(label, " becomes a matmul"));
  }
  return rewriter.Finish();
}

extern const Pass kLowerDotGeneralPass = {
    .name = "lower_dot_general",
    .run = LowerDotGeneral,
    .needs = {OpKind::kDotGeneral},
    .after = "lower_control_flow",
    .why = "Before fusion, which knows products as matmul alone",
};

}  // namespace rlx::passes
