// SPDX-License-Identifier: Apache-2.0
// The multi-token-prediction head of Qwen 3.5: one more decoder layer over the last hidden state
// and the embedding of the token that was chosen, with a gated attention, and logits for the token
// after.
#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/ops/attention.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/hir_block.h"
#include "runtime/ir/ops/hir_emit.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

BlockOperands HeadOperands(const Node& node) {
  const bool betas = node.Bool("norm_bias");
  BlockOperands at;
  at.Add({"h_pre_norm", "input_ids", "cos", "sin", "last_token_idx", "embed_w"});
  at.Add({"hnorm_w"}).Add({"hnorm_b"}, betas).Add({"enorm_w"}).Add({"enorm_b"}, betas);
  at.Add({"eh_w", "attn_norm_w"}).Add({"attn_norm_b"}, betas).Add({"q_gate_w", "k_w", "v_w"});
  at.Add({"q_norm_w"}).Add({"q_norm_b"}, betas).Add({"k_norm_w"}).Add({"k_norm_b"}, betas);
  at.Add({"o_w", "post_norm_w"}).Add({"post_norm_b"}, betas).Add({"gate_w", "up_w", "down_w"});
  return at.Add({"head_norm_w"}).Add({"head_norm_b"}, betas).Add({"lm_head_w"});
}

absl::Status RequireIndices(const InferContext& ctx, const BlockOperands& at,
                            std::string_view name) {
  const TensorType& type = ctx.operands[at.At(name)];
  if (type.dtype == DType::kI32 || type.dtype == DType::kI64) return absl::OkStatus();
  return InvalidArgument(name, " is ", type.dtype, " where i32 or i64 is needed");
}

absl::Status CheckIds(InferContext& ctx, const BlockOperands& at) {
  const Shape& h = ctx.operands[0].shape;
  RLX_TRY(RequireIndices(ctx, at, "input_ids"));
  RLX_TRY(RequireIndices(ctx, at, "last_token_idx"));
  const TensorType& last = ctx.operands[at.At("last_token_idx")];
  if (last.rank() != 1) {
    return InvalidArgument("last_token_idx is ", last,
                           " where one row per batch element is needed");
  }
  return at.RequireShapes(ctx, {{"input_ids", {h[0], h[1]}}, {"last_token_idx", {h[0]}}});
}

absl::Status CheckWeights(InferContext& ctx, const BlockOperands& at, int64_t n) {
  const Node& node = ctx.node;
  RLX_ASSIGN(const int64_t inner, RequireWeight(ctx, at.At("gate_w"), "gate_w", n));
  RLX_ASSIGN(const int64_t vocab, RequireWeight(ctx, at.At("lm_head_w"), "lm_head_w", n));
  const TensorType& embed = ctx.operands[at.At("embed_w")];
  if (embed.rank() != 2) return InvalidArgument("embed_w has rank ", embed.rank(), ", not 2");
  const int64_t head_dim = node.Int("head_dim");
  const int64_t q = node.Int("num_heads") * head_dim, kv = KvHeads(node) * head_dim;
  RLX_TRY(at.RequireShapes(ctx, {{"embed_w", {embed.shape[0], n}},
                                 {"eh_w", {2 * n, n}},
                                 {"q_gate_w", {n, 2 * q}},
                                 {"k_w", {n, kv}},
                                 {"v_w", {n, kv}},
                                 {"o_w", {q, n}},
                                 {"up_w", {n, inner}},
                                 {"down_w", {inner, n}}}));
  for (std::string_view norm : {"hnorm", "enorm", "attn_norm", "post_norm", "head_norm"}) {
    RLX_TRY(at.RequireShapes(ctx, {{Cat(norm, "_w"), {n}}, {Cat(norm, "_b"), {n}}}));
  }
  for (std::string_view norm : {"q_norm", "k_norm"}) {
    RLX_TRY(at.RequireShapes(ctx, {{Cat(norm, "_w"), {head_dim}}, {Cat(norm, "_b"), {head_dim}}}));
  }
  const Shape& h = ctx.operands[0].shape;
  ctx.results = {{ctx.operands[0].dtype, {h[0], 1, vocab}}, ctx.operands[0]};
  return absl::OkStatus();
}

absl::Status InferHead(InferContext& ctx) {
  const BlockOperands at = HeadOperands(ctx.node);
  RLX_TRY(at.RequireCount(ctx));
  RLX_TRY(CheckAttentionAttrs(ctx.node));
  RLX_TRY(CheckRotaryDims(ctx.node));
  RLX_TRY(RequireEpsilon(ctx.node));
  RLX_TRY(at.RequireFloats(ctx, {"input_ids", "last_token_idx"}));
  RLX_ASSIGN(const int64_t n, HiddenSize(ctx));
  RLX_TRY(CheckIds(ctx, at));
  const Shape& h = ctx.operands[0].shape;
  RLX_TRY(CheckRotaryTables(ctx, at.At("cos"), -1, h[0], h[1]));
  return CheckWeights(ctx, at, n);
}

// The head while it is lowered.
struct Head {
  GraphBuilder& b;
  const Node& node;
  const BlockOperands at = HeadOperands(node);

  Value Of(std::string_view name) const { return at.Of(node, name); }

  Value Norm(Value x, std::string_view name) const {
    return EmitNorm(b, OpKind::kRmsNorm, x, Of(Cat(name, "_w")), Of(Cat(name, "_b")),
                    node.Float("eps"));
  }

  Value HeadNormAndRope(Value x, std::string_view name) const {
    const Value normed = EmitHeadNorm(b, x, node.Int("head_dim"), Of(Cat(name, "_w")),
                                      Of(Cat(name, "_b")), node.Float("eps"));
    return EmitRope(b, node, normed, Of("cos"), Of("sin"), {});
  }

  // attention(q, k, v)·sigmoid(gate); the columns of q_gate_w hold q, then the gate, of each head.
  Value Attend(Value x) const {
    const std::vector<Value> parts = EmitSharedLinear(b, x, {Of("q_gate_w"), Of("k_w"), Of("v_w")});
    if (!b.status().ok()) return {};
    const int64_t heads = node.Int("num_heads"), width = node.Int("head_dim");
    const Shape shape = b.type(x).shape;
    const Value joint = b.Reshape(parts[0], {shape[0], shape[1], heads, 2 * width});
    const auto half = [&](int64_t start) {
      return b.Reshape(b.Narrow(joint, 3, start, width), {shape[0], shape[1], heads * width});
    };
    const Value q = HeadNormAndRope(half(0), "q_norm"), k = HeadNormAndRope(parts[1], "k_norm");
    const Value out =
        b.Emit(OpKind::kAttention, {q, k, parts[2]}, PickAttrs(node, kAttentionAttrs));
    return b.Mul(out, b.Unary(OpKind::kSigmoid, half(width)));
  }

  // Row last_token_idx of each batch element, [batch, 1, n].
  Value LastToken(Value x) const {
    if (!b.status().ok()) return {};
    const Shape shape = b.type(x).shape;
    // Before the batch makes them places of one table, where a row too far is another element's.
    const Value rows =
        CheckedIndices(b, Of("last_token_idx"), shape[1], "qwen35_mtp_head last_token_idx");
    const Value ones = b.Expand(b.Scalar(DType::kI64, 1), {shape[1]});
    const Value length = b.Reduce(OpKind::kReduceSum, ones, {0}, false);
    const Value flat = b.Add(b.Mul(Iota(b, shape[0], DType::kI64), length), rows);
    const Value table = b.Reshape(x, {shape[0] * shape[1], shape[2]});
    return b.Reshape(b.Gather(table, flat), {shape[0], 1, shape[2]});
  }
};

// x = concat(rms_norm(embed), rms_norm(h))·eh_w
// y = x + gated attention(rms_norm(x))·o_w ; z = y + swiglu(rms_norm(y))
// logits = rms_norm(z[last])·lm_head_w
absl::StatusOr<std::vector<Value>> LowerHead(GraphBuilder& b, const Node& node) {
  RLX_TRY(b.status());
  const Head head{b, node};
  const Value embedded = b.Gather(head.Of("embed_w"), head.Of("input_ids"));
  const Value joined =
      b.Concat({head.Norm(embedded, "enorm"), head.Norm(head.Of("h_pre_norm"), "hnorm")}, -1);
  const Value x = b.MatMul(joined, head.Of("eh_w"));
  const Value attended = b.MatMul(head.Attend(head.Norm(x, "attn_norm")), head.Of("o_w"));
  const NormAndSum y = EmitResidualNorm(b, OpKind::kRmsNorm, attended, x, head.Of("post_norm_w"),
                                        head.Of("post_norm_b"), node.Float("eps"));
  const Value inner = EmitSwiglu(b, y.norm, head.Of("up_w"), head.Of("gate_w"));
  const Value z = EmitLinear(b, inner, head.Of("down_w"), {.residual = y.sum});
  const Value last = head.Norm(head.LastToken(z), "head_norm");
  return Lowered(b, {b.MatMul(last, head.Of("lm_head_w")), z});
}

constexpr std::string_view kHeadMasks[] = {"causal", "sliding_window"};
constexpr AttrSpec HeadMask() {
  AttrSpec spec = With(Of(kAttentionAttrs, "mask"), "causal");
  spec.choices = kHeadMasks;
  spec.doc = "which keys a query sees";
  return spec;
}
constexpr AttrSpec kHeadAttrs[] = {
    Of(kAttentionAttrs, "num_heads"),
    Of(kAttentionAttrs, "num_kv_heads"),
    Of(kAttentionAttrs, "head_dim"),
    HeadMask(),
    Of(kAttentionAttrs, "window"),
    Of(kAttentionAttrs, "scale"),
    Of(kAttentionAttrs, "softcap"),
    Of(kRopeAttrs, "n_rot"),
    {.name = "eps", .type = AttrType::kFloat, .doc = "of all norms"},
    Switch("norm_bias", "every norm's _w operand is followed by its _b: 29 operands"),
};

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kHirQwen35MtpHead,
     .name = "qwen35_mtp_head",
     .claim = "",
     .op_class = OpClass::kBlock,
     .level = Stage::kHir,
     .min_operands = 22,
     .max_operands = 29,
     .results = 2,
     .attrs = kHeadAttrs,
     .infer = InferHead,
     .decompose = LowerHead,
     .doc =
         "(h_pre_norm [b,s,n], input_ids [b,s], cos, sin, last_token_idx [b], embed_w, hnorm_w[, "
         "hnorm_b], enorm_w[, enorm_b], eh_w [2n,n], attn_norm_w[, attn_norm_b], q_gate_w "
         "[n,heads·(q, gate)], k_w, v_w, q_norm_w[, q_norm_b], k_norm_w[, k_norm_b], o_w, "
         "post_norm_w[, post_norm_b], gate_w, up_w, down_w, head_norm_w[, head_norm_b], "
         "lm_head_w): x = concat(rms_norm(embed_w[ids]), rms_norm(h))·eh_w; y = x + "
         "(attention(rope(rms_norm(q)), rope(rms_norm(k)), v)·sigmoid(gate))·o_w with q, gate, "
         "k, v from rms_norm(x); z = y + swiglu(rms_norm(y)); results are the logits "
         "rms_norm(z[last])·lm_head_w [b,1,vocab], and z"},
};

}  // namespace

std::span<const OpInfo> HirQwenOps() { return kTable; }

}  // namespace rlx
