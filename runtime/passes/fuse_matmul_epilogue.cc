// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/op_info.h"
#include "runtime/passes/epilogue.h"
#include "runtime/passes/passes.h"

//   matmul | fused_matmul_bias_act ── [activation] ──┐
//   residual ──────────────────────────────────────  add
//        =>  fused_matmul_bias_act(.., residual) {activation}
// and the activation without a residual sum.
namespace rlx::passes {
namespace {

const Pattern& ProductPattern() {
  static const Pattern pattern =
      OneOf({OpKind::kMatMul, OpKind::kFusedMatMulBiasAct}, {}).As("base");
  return pattern;
}
const Pattern& ActivationPattern() {
  static const Pattern pattern = OneOf(EpilogueActivations(), {ProductPattern()}).As("activation");
  return pattern;
}
const Pattern& ResidualPattern() {
  static const Pattern pattern = Op(OpKind::kAdd, {ProductPattern(), Any("residual")});
  return pattern;
}
const Pattern& ActivationResidualPattern() {
  static const Pattern pattern = Op(OpKind::kAdd, {ActivationPattern(), Any("residual")});
  return pattern;
}

// A product and everything applied to it.
struct Product {
  Value x, w, bias, residual;
  std::string activation = "none";

  explicit Product(const Node& node) : x(node.operands[0]), w(node.operands[1]) {
    if (node.op == OpKind::kMatMul) return;
    size_t next = 2;
    if (node.Bool("has_bias")) bias = node.operands[next++];
    if (node.Bool("has_residual")) residual = node.operands[next++];
    activation = node.Str("activation");
  }

  Value Emit(GraphBuilder& b) const {
    std::vector<Value> operands = {x, w};
    if (bias.valid()) operands.push_back(bias);
    if (residual.valid()) operands.push_back(residual);
    return b.Emit(OpKind::kFusedMatMulBiasAct, std::move(operands),
                  {{"has_bias", bias.valid()},
                   {"has_residual", residual.valid()},
                   {"activation", activation}});
  }
};

std::optional<Refusal> RefusalOf(const Graph& graph, Value value, const Epilogue& epilogue) {
  const Product product(graph.node(value.node));
  if (!IsFloat(graph.type(value).dtype) || graph.type(product.w).rank() != 2) {
    return Refusal{Reason::kOtherOp, "has a product by no matrix"};
  }
  // The sum comes last.
  if (!product.residual.valid() && (!epilogue.acts() || product.activation == "none")) {
    return std::nullopt;
  }
  return Refusal{Reason::kOtherOp, "follows a finished product"};
}

Value EmitProduct(GraphBuilder& b, const Node& node, const Epilogue& epilogue) {
  Product product(node);
  if (epilogue.acts()) product.activation = epilogue.activation;
  if (epilogue.residual.valid()) product.residual = epilogue.residual;
  return product.Emit(b);
}

constexpr EpilogueTaker kProducts = {kMatMulBiasActRule, RefusalOf, EmitProduct};

}  // namespace

absl::Status FuseMatMulEpilogue(Graph& graph, PassContext& context) {
  EpilogueFusion fusion(graph, context, kProducts);
  return fusion.Run([&](NodeId root, OpKind op) {
    if (IsEpilogueActivation(op)) fusion.Try(root, ActivationPattern());
    if (op == OpKind::kAdd && !fusion.Try(root, ActivationResidualPattern())) {
      fusion.Try(root, ResidualPattern());
    }
  });
}

extern const Pass kFuseMatMulEpiloguePass = {
    .name = "fuse_matmul_epilogue",
    .run = FuseMatMulEpilogue,
    .needs = {OpKind::kMatMul, OpKind::kFusedMatMulBiasAct},
    .gate = "FusedMatMulBiasAct",
    .parts = {OpKind::kGelu, OpKind::kGeluTanh, OpKind::kSilu, OpKind::kRelu, OpKind::kTanh,
              OpKind::kSigmoid},
    .fusion = true,
    .after = "fuse_swiglu",
    .why = "Whatever activation or residual sum is still next to a product",
};

}  // namespace rlx::passes
