// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/match.h"
#include "runtime/passes/matmul_epilogue.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

//   fused_conv_bias_act ──┐
//   residual ──────────── [add] ── [activation]
//        =>  fused_conv_bias_act(.., residual) {activation}
//
// An activation is a node, or written out: x · sigmoid(x), or x · min(max(x/6 + 1/2, 0), 1).
namespace rlx::passes {
namespace {

constexpr Rule kRule("conv_epilogue");
constexpr std::string_view kHardSwish = "hard_swish";

const Pattern& Conv() {
  static const Pattern pattern = Pattern{.ops = {OpKind::kFusedConvBiasAct}}.As("conv");
  return pattern;
}
// One that the match reads twice.
Pattern ReadTwice() { return Conv().Shared(); }
const Pattern& Sum() {
  static const Pattern pattern = Op(OpKind::kAdd, {Conv(), Any("residual")}).As("sum");
  return pattern;
}
Pattern Activated(const Pattern& x) { return OneOf(EpilogueActivations(), {x}); }
Pattern HardSwish() {
  const Pattern x = ReadTwice();
  const Pattern line = Op(OpKind::kAdd, {Op(OpKind::kMul, {x, Any("sixth")}), Any("half")});
  const Pattern above = Op(OpKind::kMax, {line, Any("zero")});
  return Op(OpKind::kMul, {x, Op(OpKind::kMin, {above, Any("one")})});
}
Pattern Silu() { return Op(OpKind::kMul, {ReadTwice(), Op(OpKind::kSigmoid, {ReadTwice()})}); }

class ConvEpilogues {
 public:
  ConvEpilogues(Graph& graph, PassContext& context)
      : graph_(graph),
        context_(context),
        rewriter_(graph, context),
        matcher_(rewriter_),
        fixed_(WeightOnly(graph)) {}

  absl::Status Run() {
    // Users first, so that an activation takes the sum along.
    for (NodeId root = rewriter_.size() - 1; root >= 0; --root) {
      if (rewriter_.Taken(root)) continue;
      const OpKind op = graph_.node(root).op;
      if (op == OpKind::kMul && !Try(root, silu_, "silu", false)) {
        Try(root, hard_swish_, kHardSwish, false);
      }
      if (IsEpilogueActivation(op) && !Try(root, act_of_sum_, Name(op), true)) {
        Try(root, act_, Name(op), false);
      }
      if (op == OpKind::kAdd) Try(root, Sum(), "none", true);
    }
    return rewriter_.Finish();
  }

 private:
  bool Try(NodeId root, const Pattern& pattern, std::string_view activation, bool residual) {
    const std::optional<Match> match = matcher_.Find(root, pattern, [&](const Match& m) {
      if (activation == kHardSwish && !IsHardSwish(m)) {
        return std::optional(Refusal{Reason::kOtherOp, "has other numbers"});
      }
      return Check(m, residual);
    });
    if (!match) return false;
    const NodeId at = match->at("conv").node;
    std::vector<NodeId> nodes = match->interior;
    if (std::ranges::count(nodes, at) == 0) nodes.push_back(at);
    if (rewriter_.AnyTaken(nodes)) return false;
    Node conv = graph_.node(at);
    Report(nodes, at, activation, residual);
    if (residual) conv.operands.push_back(match->at("residual"));
    for (Attr& attr : conv.attrs) {
      if (attr.name == "activation") attr.value = std::string(activation);
      if (attr.name == "has_residual" && residual) attr.value = true;
    }
    rewriter_.Replace(
        {root, 0},
        rewriter_.For(match->interior).Emit(conv.op, std::move(conv.operands), conv.attrs));
    return true;
  }

  bool IsScalar(Value v, double value) const {
    const Node& node = graph_.node(v.node);
    if (node.op != OpKind::kConstant || !IsFloat(node.results[0].dtype)) return false;
    const HostTensor& tensor = node.Tensor("value");
    return tensor.size() == 1 && std::abs(tensor.ToDoubles()[0] - value) < 1e-7;
  }
  bool IsHardSwish(const Match& m) const {
    return IsScalar(m.at("sixth"), 1.0 / 6) && IsScalar(m.at("half"), 0.5) &&
           IsScalar(m.at("zero"), 0) && IsScalar(m.at("one"), 1);
  }

  std::optional<Refusal> Check(const Match& match, bool residual) const {
    const Value value = match.at("conv");
    const Node& conv = graph_.node(value.node);
    const bool twice = std::ranges::count(match.interior, value.node) == 0;
    if (twice && (rewriter_.uses().Count(value) != 2 || rewriter_.uses().IsOutput(value))) {
      return Refusal{Reason::kOtherOp, "has other readers"};
    }
    // What is computed once, when weights are bound, stays out of what runs every time.
    if (fixed_[value.node]) return Refusal{Reason::kOtherOp, "follows a weight"};
    if (conv.Str("activation") != "none" || (residual && conv.Bool("has_residual"))) {
      return Refusal{Reason::kOtherOp, "follows a finished convolution"};
    }
    if (residual && graph_.type(match.at("residual")) != graph_.type(value)) {
      return Refusal{Reason::kOtherOp, "adds another shape"};
    }
    return std::nullopt;
  }

  // `nodes`: the root first.
  void Report(const std::vector<NodeId>& nodes, NodeId conv, std::string_view activation,
              bool residual) {
    std::vector<Value> intermediates;
    for (size_t i = 1; i < nodes.size(); ++i) intermediates.push_back({nodes[i], 0});
    const bool acts = activation != "none";
    Applied(context_, kRule, graph_, nodes,
            Cat(Label(graph_, conv), " takes ", residual ? "the residual sum" : "",
                residual && acts ? " and " : "", acts ? activation : ""),
            {.launches = static_cast<int64_t>(intermediates.size()),
             .bytes = RoundTripBytes(graph_, intermediates)});
  }

  Graph& graph_;
  PassContext& context_;
  Rewriter rewriter_;
  Matcher matcher_;
  const std::vector<bool> fixed_;
  const Pattern act_ = Activated(Conv()), act_of_sum_ = Activated(Sum());
  const Pattern silu_ = Silu(), hard_swish_ = HardSwish();
};

}  // namespace

absl::Status FuseConvEpilogue(Graph& graph, PassContext& context) {
  return ConvEpilogues(graph, context).Run();
}

extern const Pass kFuseConvEpiloguePass = {
    .name = "fuse_conv_epilogue",
    .run = FuseConvEpilogue,
    .gate = "FusedConvBiasAct",
    .fusion = true,
    .after = "channels_last",
    .why = "What follows a convolution stands beside it, in its order, once that is chosen",
};

}  // namespace rlx::passes
