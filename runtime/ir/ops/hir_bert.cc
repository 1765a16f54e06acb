// SPDX-License-Identifier: Apache-2.0
// The post-norm encoder layer of BERT.
#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/ops/activation.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/hir_block.h"
#include "runtime/ir/ops/hir_emit.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

BlockOperands BertOperands(const Node& node) {
  BlockOperands at;
  at.Add({"x"}).Add({"mask"}, HasMaskOperand(node));
  at.Add({"q_w", "q_b", "k_w", "k_b", "v_w", "v_b", "o_w", "o_b", "ln1_g", "ln1_b", "ffn1_w",
          "ffn1_b", "ffn2_w", "ffn2_b", "ln2_g", "ln2_b"});
  return at;
}

absl::Status CheckWeights(InferContext& ctx, const BlockOperands& at) {
  RLX_ASSIGN(const int64_t hidden, HiddenSize(ctx));
  RLX_ASSIGN(const int64_t inner, RequireWeight(ctx, at.At("ffn1_w"), "ffn1_w", hidden));
  const int64_t width = ctx.node.Int("num_heads") * ctx.node.Int("head_dim");
  return at.RequireShapes(ctx, {{"q_w", {hidden, width}},
                                {"q_b", {width}},
                                {"k_w", {hidden, width}},
                                {"k_b", {width}},
                                {"v_w", {hidden, width}},
                                {"v_b", {width}},
                                {"o_w", {width, hidden}},
                                {"o_b", {hidden}},
                                {"ln1_g", {hidden}},
                                {"ln1_b", {hidden}},
                                {"ffn1_b", {inner}},
                                {"ffn2_w", {inner, hidden}},
                                {"ffn2_b", {hidden}},
                                {"ln2_g", {hidden}},
                                {"ln2_b", {hidden}}});
}

absl::Status InferBert(InferContext& ctx) {
  const Node& node = ctx.node;
  const BlockOperands at = BertOperands(node);
  RLX_TRY(at.RequireCount(ctx));
  RLX_TRY(CheckAttentionAttrs(node));
  RLX_TRY(RequireEpsilon(node));
  RLX_TRY(at.RequireFloats(ctx, {"mask"}));
  RLX_TRY(CheckWeights(ctx, at));
  const Shape& x = ctx.operands[0].shape;
  if (at.Has("mask")) RLX_TRY(CheckMask(ctx, at.At("mask"), BlockAttention(node, x, x[1])));
  ctx.results = {ctx.operands[0]};
  return absl::OkStatus();
}

// h = layer_norm(x + attention(q, k, v)·o_w + o_b)
// out = layer_norm(h + activation(h·ffn1_w + ffn1_b)·ffn2_w + ffn2_b)
absl::StatusOr<std::vector<Value>> LowerBert(GraphBuilder& b, const Node& node) {
  RLX_TRY(b.status());
  const BlockOperands at = BertOperands(node);
  const auto operand = [&](std::string_view name) { return at.Of(node, name); };
  const Value x = operand("x");
  const auto norm = [&](Value v, Value residual, std::string_view gamma, std::string_view beta) {
    return EmitResidualNorm(b, OpKind::kLayerNorm, v, residual, operand(gamma), operand(beta),
                            node.Float("eps"))
        .norm;
  };
  std::vector<Value> attended =
      EmitSharedLinear(b, x, {operand("q_w"), operand("k_w"), operand("v_w")},
                       {operand("q_b"), operand("k_b"), operand("v_b")});
  if (at.Has("mask")) attended.push_back(operand("mask"));
  const Value heads =
      b.Emit(OpKind::kAttention, std::move(attended), PickAttrs(node, kAttentionAttrs));
  const Value projected = EmitLinear(b, heads, operand("o_w"), {.bias = operand("o_b")});
  const Value h = norm(projected, x, "ln1_g", "ln1_b");
  const Value inner = EmitLinear(b, h, operand("ffn1_w"),
                                 {.bias = operand("ffn1_b"), .activation = node.Str("activation")});
  const Value outer = EmitLinear(b, inner, operand("ffn2_w"), {.bias = operand("ffn2_b")});
  return Lowered(b, {norm(outer, h, "ln2_g", "ln2_b")});
}

constexpr std::string_view kBertMasks[] = {"none", "keep", "bias"};
constexpr AttrSpec BertMask() {
  AttrSpec spec = Of(kAttentionAttrs, "mask");
  spec.choices = kBertMasks;
  return spec;
}
constexpr AttrSpec kBertAttrs[] = {
    Of(kAttentionAttrs, "num_heads"),
    Of(kAttentionAttrs, "head_dim"),
    BertMask(),
    Of(kAttentionAttrs, "scale"),
    Of(kAttentionAttrs, "softcap"),
    {.name = "eps", .type = AttrType::kFloat, .doc = "of both norms"},
    With(kActivationAttr, "gelu"),
};

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kHirBertEncoderBlock,
     .name = "bert_encoder_block",
     .claim = "",
     .op_class = OpClass::kBlock,
     .level = Stage::kHir,
     .min_operands = 17,
     .max_operands = 18,
     .attrs = kBertAttrs,
     .infer = InferBert,
     .decompose = LowerBert,
     .doc = "(x [b,s,h][, mask], q_w, q_b, k_w, k_b, v_w, v_b, o_w, o_b, ln1_g, ln1_b, ffn1_w, "
            "ffn1_b, ffn2_w, ffn2_b, ln2_g, ln2_b): y = layer_norm(x + attention(q, k, v)·o_w + "
            "o_b); layer_norm(y + activation(y·ffn1_w + ffn1_b)·ffn2_w + ffn2_b)"},
};

}  // namespace

std::span<const OpInfo> HirBertOps() { return kTable; }

}  // namespace rlx
