// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/raise.h"

//   x, w[, bias] ── conv ─ { batch_norm | mul s | div s | add t | sub t }*
//        =>  conv(x, w·s, bias·s + t)
//   x, w ── matmul ─ .. ─ mul s ─ ..   =>   matmul(x, w·s) ── add bias·s + t
//
// s and t are of weights alone and differ by channel: their products are made once, when weights
// are bound. A product that is only shifted stays: its bias is an epilogue.
namespace rlx::passes {
namespace {

constexpr Rule kRule("fold_batch_norm");

// y·scale + shift by channel, of weights alone; invalid ones change nothing.
struct Affine {
  Value scale, shift;
};

class Folding {
 public:
  Folding(Graph& graph, PassContext& context)
      : at_(graph, context, kRule), fixed_(WeightOnly(graph)) {}

  absl::Status Run() {
    for (NodeId id = 0; id < at_.size(); ++id) {
      const OpKind op = at_.graph().node(id).op;
      if ((op == OpKind::kConv || op == OpKind::kMatMul) && !fixed_[id]) Try(id);
    }
    return at_.Finish();
  }

 private:
  // The axis that channels are along, and its extent.
  struct Channels {
    int64_t axis;
    Dim count;
  };
  Channels ChannelsOf(NodeId product) const {
    const TensorType& type = at_.type({product, 0});
    const int64_t axis = at_.graph().node(product).op == OpKind::kConv ? 1 : type.rank() - 1;
    return {axis, type.shape[static_cast<size_t>(axis)]};
  }

  void Try(NodeId product) {
    const TensorType type = at_.type({product, 0});
    const Value w = at_.graph().node(product).operands[1];
    const bool conv = at_.graph().node(product).op == OpKind::kConv;
    // In narrower types the product of two weights would lose what the sum of many keeps.
    const bool wide = type.dtype == DType::kF32 || type.dtype == DType::kF64;
    if (!wide || !fixed_[w.node] || (!conv && at_.type(w).rank() != 2)) return;
    const std::vector<NodeId> steps = StepsAfter(product);
    bool scales = false;
    for (NodeId id : steps) scales = scales || Scales(at_.graph().node(id).op);
    if (steps.empty() || (!scales && !conv)) return;
    if (scales && at_.uses().Count(w) != 1) {
      return at_.Miss(Reason::kWeightShared, product,
                      Cat(Label(at_.graph(), w.node), " has other readers, so ",
                          Label(at_.graph(), product), " is scaled by itself"));
    }
    Fold(product, steps);
  }

  static bool Scales(OpKind op) { return op != OpKind::kAdd && op != OpKind::kSub; }

  // The nodes that scale and shift what the product makes, each the only reader of the one before.
  std::vector<NodeId> StepsAfter(NodeId product) const {
    constexpr size_t kMost = 16;
    std::vector<NodeId> steps;
    Value last{product, 0};
    while (steps.size() < kMost) {
      const NodeId next = at_.uses().OnlyUser(last);
      if (next < 0 || at_.Taken(next) || !IsStep(product, next, last)) break;
      steps.push_back(next);
      last = {next, 0};
    }
    return steps;
  }

  bool IsStep(NodeId product, NodeId id, Value last) const {
    const Node& node = at_.graph().node(id);
    if (node.results.size() != 1 || node.results[0] != at_.type(last)) return false;
    if (node.op == OpKind::kBatchNorm) {
      return ChannelsOf(product).axis == 1 && node.operands[0] == last &&
             std::all_of(node.operands.begin() + 1, node.operands.end(),
                         [&](Value v) { return fixed_[v.node]; });
    }
    const bool either = node.op == OpKind::kMul || node.op == OpKind::kAdd;
    const bool second = node.op == OpKind::kDiv || node.op == OpKind::kSub;
    if (!either && !(second && node.operands[0] == last)) return false;
    const Value by = Other(node, last);
    return fixed_[by.node] && IsByChannel(product, at_.type(by));
  }

  static Value Other(const Node& node, Value operand) {
    return node.operands[0] == operand ? node.operands[1] : node.operands[0];
  }

  // [c] along the channels, behind and before ones.
  bool IsByChannel(NodeId product, const TensorType& type) const {
    const Channels channels = ChannelsOf(product);
    const int64_t after = at_.type({product, 0}).rank() - 1 - channels.axis;
    const int64_t place = type.rank() - 1 - after;
    if (place < 0) return false;
    for (int64_t d = 0; d < type.rank(); ++d) {
      const Dim& dim = type.shape[static_cast<size_t>(d)];
      if (dim != (d == place ? channels.count : Dim(1))) return false;
    }
    return true;
  }

  // One more step, in [c].
  void Apply(GraphBuilder& b, const Node& node, Value by, const Channels& channels,
             Affine& a) const {
    const auto flat = [&](Value v) {
      return b.type(v).rank() == 1 ? v : b.Reshape(v, {channels.count});
    };
    const auto times = [&](Value s) {
      a.scale = a.scale.valid() ? b.Mul(a.scale, s) : s;
      if (a.shift.valid()) a.shift = b.Mul(a.shift, s);
    };
    const auto plus = [&](Value t) { a.shift = a.shift.valid() ? b.Add(a.shift, t) : t; };
    const DType dtype = node.results[0].dtype;
    switch (node.op) {
      case OpKind::kMul:
        return times(flat(by));
      case OpKind::kDiv:
        return times(b.Div(b.Scalar(dtype, 1), flat(by)));
      case OpKind::kAdd:
        return plus(flat(by));
      case OpKind::kSub:
        return plus(b.Unary(OpKind::kNeg, flat(by)));
      default: {  // batch_norm(x, scale, bias, mean, variance)
        const Value deviation = b.Add(node.operands[4], b.Scalar(dtype, node.Float("eps")));
        plus(b.Unary(OpKind::kNeg, node.operands[3]));
        times(b.Mul(node.operands[1], b.Unary(OpKind::kRsqrt, deviation)));
        return plus(node.operands[2]);
      }
    }
  }

  void Fold(NodeId product, const std::vector<NodeId>& steps) {
    std::vector<NodeId> nodes(steps.rbegin(), steps.rend());
    nodes.push_back(product);
    const Node node = at_.graph().node(product);
    if (!at_.Free(nodes, node.operands, Name(node.op))) return;
    const Channels channels = ChannelsOf(product);
    const bool conv = node.op == OpKind::kConv;
    GraphBuilder& b = at_.Begin(nodes, Cat(Label(at_.graph(), product), " takes ",
                                           Label(at_.graph(), nodes.front()), " into its weights"));
    Affine a;
    if (node.operands.size() > 2) a.shift = node.operands[2];
    Value last{product, 0};
    for (NodeId id : steps) {
      const Node step = at_.graph().node(id);  // a copy: the graph grows
      Apply(b, step, Other(step, last), channels, a);
      last = {id, 0};
    }
    std::vector<Value> operands = {node.operands[0], node.operands[1]};
    if (a.scale.valid()) {
      Shape along(at_.type(operands[1]).shape.size(), Dim(1));
      along[conv ? 0 : 1] = channels.count;
      operands[1] = b.Mul(operands[1], b.Reshape(a.scale, along));
    }
    if (conv && a.shift.valid()) operands.push_back(a.shift);
    Value made = b.Emit(node.op, std::move(operands), node.attrs);
    if (!conv && a.shift.valid()) made = b.Add(made, a.shift);
    at_.Replace(nodes.front(), made);
  }

  Raising at_;
  const std::vector<bool> fixed_;
};

}  // namespace

absl::Status FoldBatchNorm(Graph& graph, PassContext& context) {
  return Folding(graph, context).Run();
}

extern const Pass kFoldBatchNormPass = {
    .name = "fold_batch_norm",
    .run = FoldBatchNorm,
    .needs = {OpKind::kConv, OpKind::kMatMul},
    .fusion = true,
    .after = "simplify_movement",
    .why = "Before products take their biases, and what follows a convolution becomes a region",
};

}  // namespace rlx::passes
