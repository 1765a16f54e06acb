// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "runtime/ir/op_info.h"
#include "runtime/passes/epilogue.h"
#include "runtime/passes/passes.h"

//   fused_conv_bias_act ──┐
//   residual ──────────── [add] ── [activation]
//        =>  fused_conv_bias_act(.., residual) {activation}
//
// An activation is a node, or written out: x · sigmoid(x), or x · min(max(x/6 + 1/2, 0), 1).
namespace rlx::passes {
namespace {

constexpr Rule kRule("conv_epilogue");

const Pattern& Conv() {
  static const Pattern pattern = Pattern{.ops = {OpKind::kFusedConvBiasAct}}.As("base");
  return pattern;
}
// One that the match reads twice.
Pattern ReadTwice() { return Conv().Shared(); }
const Pattern& Sum() {
  static const Pattern pattern = Op(OpKind::kAdd, {Conv(), Any("residual")});
  return pattern;
}
Pattern Activated(const Pattern& x) { return OneOf(EpilogueActivations(), {x}).As("activation"); }
Pattern Silu() { return Op(OpKind::kMul, {ReadTwice(), Op(OpKind::kSigmoid, {ReadTwice()})}); }
Pattern HardSwish() {
  const Pattern x = ReadTwice();
  const Pattern line = Op(OpKind::kAdd, {Op(OpKind::kMul, {x, Any("sixth")}), Any("half")});
  const Pattern above = Op(OpKind::kMax, {line, Any("zero")});
  return Op(OpKind::kMul, {x, Op(OpKind::kMin, {above, Any("one")})});
}

bool IsScalar(const Graph& graph, Value v, double value) {
  const Node& node = graph.node(v.node);
  if (node.op != OpKind::kConstant || !IsFloat(node.results[0].dtype)) return false;
  const HostTensor& tensor = node.Tensor("value");
  return tensor.size() == 1 && std::abs(tensor.ToDoubles()[0] - value) < 1e-7;
}
bool IsHardSwish(const Graph& graph, const Match& m) {
  return IsScalar(graph, m.at("sixth"), 1.0 / 6) && IsScalar(graph, m.at("half"), 0.5) &&
         IsScalar(graph, m.at("zero"), 0) && IsScalar(graph, m.at("one"), 1);
}

std::optional<Refusal> RefusalOf(const Graph& graph, Value value, const Epilogue& epilogue) {
  const Node& conv = graph.node(value.node);
  // The activation comes last.
  if (conv.Str("activation") == "none" &&
      (!epilogue.residual.valid() || !conv.Bool("has_residual"))) {
    return std::nullopt;
  }
  return Refusal{Reason::kOtherOp, "follows a finished convolution"};
}

Value EmitConv(GraphBuilder& b, const Node& node, const Epilogue& epilogue) {
  std::vector<Value> operands = node.operands;
  std::vector<Attr> attrs = node.attrs;
  const bool sum = epilogue.residual.valid();
  if (sum) operands.push_back(epilogue.residual);
  for (Attr& attr : attrs) {
    if (attr.name == "activation") attr.value = std::string(epilogue.activation);
    if (attr.name == "has_residual" && sum) attr.value = true;
  }
  return b.Emit(node.op, std::move(operands), std::move(attrs));
}

constexpr EpilogueTaker kConvolutions = {kRule, RefusalOf, EmitConv};

}  // namespace

absl::Status FuseConvEpilogue(Graph& graph, PassContext& context) {
  const Pattern activation = Activated(Conv()), activation_of_sum = Activated(Sum());
  const Pattern silu = Silu(), hard_swish = HardSwish();
  EpilogueFusion fusion(graph, context, kConvolutions);
  const Guard is_hard_swish = [&](const Match& m) -> std::optional<Refusal> {
    if (IsHardSwish(graph, m)) return std::nullopt;
    return Refusal{Reason::kOtherOp, "has other numbers"};
  };
  return fusion.Run([&](NodeId root, OpKind op) {
    if (op == OpKind::kMul && !fusion.Try(root, silu, "silu")) {
      fusion.Try(root, hard_swish, "hard_swish", is_hard_swish);
    }
    if (IsEpilogueActivation(op) && !fusion.Try(root, activation_of_sum)) {
      fusion.Try(root, activation);
    }
    if (op == OpKind::kAdd) fusion.Try(root, Sum());
  });
}

extern const Pass kFuseConvEpiloguePass = {
    .name = "fuse_conv_epilogue",
    .run = FuseConvEpilogue,
    .needs = {OpKind::kFusedConvBiasAct},
    .gate = "FusedConvBiasAct",
    .parts = {OpKind::kGelu, OpKind::kGeluTanh, OpKind::kSilu, OpKind::kRelu, OpKind::kTanh,
              OpKind::kSigmoid},
    .fusion = true,
    .after = "channels_last",
    .why = "What follows a convolution stands beside it, in its order, once that is chosen",
};

}  // namespace rlx::passes
