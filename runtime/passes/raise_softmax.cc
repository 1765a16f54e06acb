// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/raise.h"

//   x ─┬─ max ─┐
//      └────── sub ─ exp ─┬─ sum ─┐
//                         └────── div   =>   softmax(x) {axis}
// all along one axis that stays. Without the greatest taken off it is another function: exp
// overflows.
namespace rlx::passes {
namespace {

constexpr Rule kRule("raise_softmax");

// The axis that `reduce` folds; -1 unless it is one, and kept.
int64_t AxisOf(const Node& reduce, OpKind op) {
  const bool one = reduce.op == op && reduce.Bool("keep_dims") && reduce.Ints("axes").size() == 1;
  return one ? reduce.Ints("axes")[0] : -1;
}

void Try(Raising& at, NodeId root) {
  const Node& quotient = at.graph().node(root);
  const Value powers = quotient.operands[0], sum = quotient.operands[1];
  const int64_t axis = AxisOf(at.node(sum), OpKind::kReduceSum);
  if (axis < 0 || at.node(sum).operands[0] != powers || at.node(powers).op != OpKind::kExp) return;
  const Value shifted = at.node(powers).operands[0];
  if (at.node(shifted).op != OpKind::kSub) return;
  const Value x = at.node(shifted).operands[0], greatest = at.node(shifted).operands[1];
  if (AxisOf(at.node(greatest), OpKind::kReduceMax) != axis) return;
  if (at.node(greatest).operands[0] != x || at.type({root, 0}) != at.type(x)) return;
  if (!IsFloat(at.type(x).dtype)) return;
  const std::vector<NodeId> nodes = {root, sum.node, powers.node, shifted.node, greatest.node};
  const std::vector<Attr> attrs = {{"axis", axis}};
  if (at.Refused(OpKind::kSoftmax, {at.type(x)}, attrs, root)) return;
  if (!at.Free(nodes, {x}, "softmax")) return;
  GraphBuilder& b = at.Begin(nodes, Cat(Label(at.graph(), root), " is the softmax of ",
                                        Label(at.graph(), x.node), " along axis ", axis));
  at.Replace(root, b.Softmax(x, axis));
}

}  // namespace

absl::Status RaiseSoftmax(Graph& graph, PassContext& context) {
  Raising at(graph, context, kRule);
  for (NodeId id = 0; id < at.size(); ++id) {
    if (graph.node(id).op == OpKind::kDiv && !at.Taken(id)) Try(at, id);
  }
  return at.Finish();
}

extern const Pass kRaiseSoftmaxPass = {
    .name = "raise_softmax",
    .run = RaiseSoftmax,
    .needs = {OpKind::kDiv},
    .gate = "Softmax",
    .fusion = true,
    .after = "raise_activation",
    .why = "Before attention, which has one inside",
};

}  // namespace rlx::passes
