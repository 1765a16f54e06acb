// SPDX-License-Identifier: Apache-2.0
// Attention, rope and whole transformer blocks.
#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/ops/activation.h"
#include "runtime/ir/ops/attention.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/hir_emit.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

using Values = absl::StatusOr<std::vector<Value>>;

template <OpKind kOp>
Values LowerToSame(GraphBuilder& b, const Node& node) {
  return Lowered(b, {b.Emit(kOp, node.operands, node.attrs)});
}

// x of a block: [batch, seq, hidden] with a constant width. Returns that.
absl::StatusOr<int64_t> HiddenSize(const InferContext& ctx) {
  const TensorType& x = ctx.operands[0];
  if (x.rank() == 3 && x.shape[2].is_static()) return x.shape[2].value();
  return InvalidArgument("x is ", x,
                         " where [batch, seq, hidden] with a constant hidden is needed");
}

// What a block demands of one operand.
struct Need {
  int operand;
  std::string_view name;
  Shape shape;
};

absl::Status CheckNeeds(InferContext& ctx, const std::vector<Need>& needs) {
  for (const Need& need : needs) {
    RLX_TRY(RequireShape(ctx, need.operand, need.name, need.shape));
  }
  return absl::OkStatus();
}

AttentionDims SelfAttention(const InferContext& ctx) {
  const Node& node = ctx.node;
  const Shape& x = ctx.operands[0].shape;
  return {.heads_first = false,
          .batch = x[0],
          .q_len = x[1],
          .k_len = x[1],
          .heads = node.Int("num_heads"),
          .kv_heads = KvHeads(node),
          .head_dim = node.Int("head_dim"),
          .v_head_dim = node.Int("head_dim")};
}

// Positions of a decoder block's operands; -1 when absent.
struct Llama {
  int ln1_g, ln1_b = -1, q_w, k_w, v_w, o_w, ln2_g, ln2_b = -1, gate_w, up_w, down_w, cos, sin;
  int mask = -1, positions = -1, count = 1;

  explicit Llama(const Node& node) {
    const bool betas = node.Bool("norm_bias");
    ln1_g = count++;
    if (betas) ln1_b = count++;
    for (int* at : {&q_w, &k_w, &v_w, &o_w, &ln2_g}) *at = count++;
    if (betas) ln2_b = count++;
    for (int* at : {&gate_w, &up_w, &down_w, &cos, &sin}) *at = count++;
    if (HasMaskOperand(node)) mask = count++;
    if (node.Bool("has_positions")) positions = count++;
  }
};

absl::Status InferLlama(InferContext& ctx) {
  const Node& node = ctx.node;
  const Llama at(node);
  RLX_TRY(RequireOperands(ctx, at.count,
                          "x, ln1_g, ln1_b if norm_bias, q_w, k_w, v_w, o_w, ln2_g, ln2_b if "
                          "norm_bias, gate_w, up_w, down_w, cos, sin, mask if keep or bias, "
                          "positions if has_positions"));
  RLX_TRY(CheckAttentionAttrs(node));
  RLX_TRY(CheckRotaryDims(node));
  RLX_TRY(RequireEpsilon(node));
  RLX_TRY(RequireFloats(ctx, at.sin + 1));
  RLX_ASSIGN(const int64_t hidden, HiddenSize(ctx));
  RLX_ASSIGN(const int64_t inner, RequireWeight(ctx, at.gate_w, "gate_w", hidden));
  const int64_t q_width = node.Int("num_heads") * node.Int("head_dim");
  const int64_t kv_width = KvHeads(node) * node.Int("head_dim");
  std::vector<Need> needs = {
      {at.ln1_g, "ln1_g", {hidden}},       {at.q_w, "q_w", {hidden, q_width}},
      {at.k_w, "k_w", {hidden, kv_width}}, {at.v_w, "v_w", {hidden, kv_width}},
      {at.o_w, "o_w", {q_width, hidden}},  {at.ln2_g, "ln2_g", {hidden}},
      {at.up_w, "up_w", {hidden, inner}},  {at.down_w, "down_w", {inner, hidden}},
  };
  if (at.ln1_b > 0) needs.push_back({at.ln1_b, "ln1_b", {hidden}});
  if (at.ln2_b > 0) needs.push_back({at.ln2_b, "ln2_b", {hidden}});
  RLX_TRY(CheckNeeds(ctx, needs));
  const AttentionDims dims = SelfAttention(ctx);
  RLX_TRY(CheckRotaryTables(ctx, at.cos, at.positions, dims.batch, dims.q_len));
  if (at.mask > 0) RLX_TRY(CheckMask(ctx, at.mask, dims));
  ctx.results = {ctx.operands[0]};
  return absl::OkStatus();
}

// h = x + attention(rope(q), rope(k), v)·o_w with q, k, v from rms_norm(x)
// out = h + swiglu(rms_norm(h))
Values LowerLlama(GraphBuilder& b, const Node& node) {
  RLX_TRY(b.status());
  const Llama at(node);
  auto operand = [&](int i) { return i < 0 ? Value{} : node.operands[i]; };
  const Value x = operand(0);
  const double eps = node.Float("eps");
  const Value normed = EmitNorm(b, OpKind::kRmsNorm, x, operand(at.ln1_g), operand(at.ln1_b), eps);
  const std::vector<Value> qkv =
      EmitSharedLinear(b, normed, {operand(at.q_w), operand(at.k_w), operand(at.v_w)});
  auto rope = [&](Value v) {
    std::vector<Value> operands = {v, operand(at.cos), operand(at.sin)};
    if (at.positions > 0) operands.push_back(operand(at.positions));
    return b.Emit(OpKind::kRope, std::move(operands), PickAttrs(node, kRopeAttrs));
  };
  const Value q = rope(qkv[0]), k = rope(qkv[1]);
  std::vector<Value> attended = {q, k, qkv[2]};
  if (at.mask > 0) attended.push_back(operand(at.mask));
  const Value heads =
      b.Emit(OpKind::kAttention, std::move(attended), PickAttrs(node, kAttentionAttrs));
  const NormAndSum h = EmitResidualNorm(b, OpKind::kRmsNorm, b.MatMul(heads, operand(at.o_w)), x,
                                        operand(at.ln2_g), operand(at.ln2_b), eps);
  const Value inner = EmitSwiglu(b, h.norm, operand(at.up_w), operand(at.gate_w));
  return Lowered(b, {EmitLinear(b, inner, operand(at.down_w), {.residual = h.sum})});
}

// Positions of an encoder block's operands; a mask, if any, comes second.
struct Bert {
  int mask = -1, q_w, q_b, k_w, k_b, v_w, v_b, o_w, o_b, ln1_g, ln1_b, ffn1_w, ffn1_b, ffn2_w,
      ffn2_b, ln2_g, ln2_b, count = 1;

  explicit Bert(const Node& node) {
    if (HasMaskOperand(node)) mask = count++;
    for (int* at : {&q_w, &q_b, &k_w, &k_b, &v_w, &v_b, &o_w, &o_b, &ln1_g, &ln1_b, &ffn1_w,
                    &ffn1_b, &ffn2_w, &ffn2_b, &ln2_g, &ln2_b}) {
      *at = count++;
    }
  }
};

absl::Status RequireBertFloats(const InferContext& ctx, const Bert& at) {
  const DType dtype = ctx.operands[0].dtype;
  RLX_TRY(RequireFloats(ctx, 1));
  for (int i = at.q_w; i < at.count; ++i) {
    if (ctx.operands[i].dtype == dtype) continue;
    return InvalidArgument("operand ", i, " is ", ctx.operands[i].dtype, " where x is ", dtype);
  }
  return absl::OkStatus();
}

absl::Status InferBert(InferContext& ctx) {
  const Node& node = ctx.node;
  const Bert at(node);
  RLX_TRY(RequireOperands(ctx, at.count,
                          "x, mask if keep or bias, q_w, q_b, k_w, k_b, v_w, v_b, o_w, o_b, ln1_g, "
                          "ln1_b, ffn1_w, ffn1_b, ffn2_w, ffn2_b, ln2_g, ln2_b"));
  RLX_TRY(CheckAttentionAttrs(node));
  RLX_TRY(RequireEpsilon(node));
  RLX_TRY(RequireBertFloats(ctx, at));
  RLX_ASSIGN(const int64_t hidden, HiddenSize(ctx));
  RLX_ASSIGN(const int64_t inner, RequireWeight(ctx, at.ffn1_w, "ffn1_w", hidden));
  const int64_t width = node.Int("num_heads") * node.Int("head_dim");
  RLX_TRY(CheckNeeds(ctx, {
                              {at.q_w, "q_w", {hidden, width}},
                              {at.q_b, "q_b", {width}},
                              {at.k_w, "k_w", {hidden, width}},
                              {at.k_b, "k_b", {width}},
                              {at.v_w, "v_w", {hidden, width}},
                              {at.v_b, "v_b", {width}},
                              {at.o_w, "o_w", {width, hidden}},
                              {at.o_b, "o_b", {hidden}},
                              {at.ln1_g, "ln1_g", {hidden}},
                              {at.ln1_b, "ln1_b", {hidden}},
                              {at.ffn1_b, "ffn1_b", {inner}},
                              {at.ffn2_w, "ffn2_w", {inner, hidden}},
                              {at.ffn2_b, "ffn2_b", {hidden}},
                              {at.ln2_g, "ln2_g", {hidden}},
                              {at.ln2_b, "ln2_b", {hidden}},
                          }));
  if (at.mask > 0) RLX_TRY(CheckMask(ctx, at.mask, SelfAttention(ctx)));
  ctx.results = {ctx.operands[0]};
  return absl::OkStatus();
}

// h = layer_norm(x + attention(q, k, v)·o_w + o_b)
// out = layer_norm(h + activation(h·ffn1_w + ffn1_b)·ffn2_w + ffn2_b)
Values LowerBert(GraphBuilder& b, const Node& node) {
  RLX_TRY(b.status());
  const Bert at(node);
  const auto& v = node.operands;
  const double eps = node.Float("eps");
  std::vector<Value> attended = EmitSharedLinear(b, v[0], {v[at.q_w], v[at.k_w], v[at.v_w]},
                                                 {v[at.q_b], v[at.k_b], v[at.v_b]});
  if (at.mask > 0) attended.push_back(v[at.mask]);
  const Value heads =
      b.Emit(OpKind::kAttention, std::move(attended), PickAttrs(node, kAttentionAttrs));
  const Value projected = EmitLinear(b, heads, v[at.o_w], {.bias = v[at.o_b]});
  const Value h =
      EmitResidualNorm(b, OpKind::kLayerNorm, projected, v[0], v[at.ln1_g], v[at.ln1_b], eps).norm;
  const Value inner =
      EmitLinear(b, h, v[at.ffn1_w], {.bias = v[at.ffn1_b], .activation = node.Str("activation")});
  const Value outer = EmitLinear(b, inner, v[at.ffn2_w], {.bias = v[at.ffn2_b]});
  return Lowered(
      b, {EmitResidualNorm(b, OpKind::kLayerNorm, outer, h, v[at.ln2_g], v[at.ln2_b], eps).norm});
}

consteval AttrSpec Of(std::span<const AttrSpec> specs, std::string_view name) {
  for (const AttrSpec& spec : specs) {
    if (spec.name == name) return spec;
  }
  throw "no such attribute";  // at compile time only
}

constexpr AttrSpec With(AttrSpec spec, std::string_view fallback) {
  spec.fallback = fallback;
  return spec;
}

constexpr AttrSpec kBlockEps = {.name = "eps", .type = AttrType::kFloat, .doc = "of both norms"};

constexpr AttrSpec kLlamaAttrs[] = {
    Of(kAttentionAttrs, "num_heads"),
    Of(kAttentionAttrs, "num_kv_heads"),
    Of(kAttentionAttrs, "head_dim"),
    With(Of(kAttentionAttrs, "mask"), "causal"),
    Of(kAttentionAttrs, "window"),
    Of(kAttentionAttrs, "scale"),
    Of(kAttentionAttrs, "softcap"),
    Of(kRopeAttrs, "n_rot"),
    kBlockEps,
    {.name = "norm_bias",
     .type = AttrType::kBool,
     .required = false,
     .fallback = false,
     .doc = "ln1_b and ln2_b operands follow their gammas"},
    {.name = "has_positions",
     .type = AttrType::kBool,
     .required = false,
     .fallback = false,
     .doc = "a positions operand ([s] or [b,s]) comes last and offsets rope"},
};

constexpr std::string_view kBertMasks[] = {"none", "keep", "bias"};
constexpr AttrSpec BertMask() {
  AttrSpec spec = Of(kAttentionAttrs, "mask");
  spec.choices = kBertMasks;
  return spec;
}
constexpr AttrSpec kBertAttrs[] = {
    Of(kAttentionAttrs, "num_heads"), Of(kAttentionAttrs, "head_dim"), BertMask(),
    Of(kAttentionAttrs, "scale"),     Of(kAttentionAttrs, "softcap"),  kBlockEps,
    With(kActivationAttr, "gelu"),
};

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kHirAttention,
     .name = "hir.attention",
     .claim = "",
     .op_class = OpClass::kBlock,
     .level = Stage::kHir,
     .min_operands = 3,
     .max_operands = 4,
     .attrs = kAttentionAttrs,
     .infer = InferAttention,
     .decompose = LowerToSame<OpKind::kAttention>,
     .doc = "(q, k, v[, mask]): attention as a block"},
    {.kind = OpKind::kHirRope,
     .name = "hir.rope",
     .claim = "",
     .op_class = OpClass::kBlock,
     .level = Stage::kHir,
     .min_operands = 3,
     .max_operands = 4,
     .attrs = kRopeAttrs,
     .infer = InferRope,
     .decompose = LowerToSame<OpKind::kRope>,
     .doc = "(x, cos, sin[, positions]): rope as a block"},
    {.kind = OpKind::kHirLlamaDecoderBlock,
     .name = "llama_decoder_block",
     .claim = "",
     .op_class = OpClass::kBlock,
     .level = Stage::kHir,
     .min_operands = 12,
     .max_operands = 16,
     .attrs = kLlamaAttrs,
     .infer = InferLlama,
     .decompose = LowerLlama,
     .doc = "(x [b,s,h], ln1_g[, ln1_b], q_w, k_w, v_w, o_w, ln2_g[, ln2_b], gate_w, up_w, down_w, "
            "cos, sin[, mask][, positions]): y = x + attention(rope(q), rope(k), v)·o_w with q, k, "
            "v from rms_norm(x); y + swiglu(rms_norm(y))"},
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

std::span<const OpInfo> HirBlockOps() { return kTable; }

}  // namespace rlx
