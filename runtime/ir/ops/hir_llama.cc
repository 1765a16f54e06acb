// SPDX-License-Identifier: Apache-2.0
// The pre-norm decoder layer of Llama; with biases or norms on queries and keys that of Qwen 2 and
// 3 as well. Keys and values of earlier calls come in as operands, those of this call leave as
// results.
#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/hir_block.h"
#include "runtime/ir/ops/hir_emit.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

bool Appends(const Node& node) { return node.Str("cache") == "append"; }

BlockOperands LlamaOperands(const Node& node) {
  const bool betas = node.Bool("norm_bias"), head_norms = node.Bool("qk_norm");
  BlockOperands at;
  at.Add({"x", "ln1_g"}).Add({"ln1_b"}, betas).Add({"q_w", "k_w", "v_w"});
  at.Add({"q_b", "k_b", "v_b"}, node.Bool("qkv_bias")).Add({"q_norm_g", "k_norm_g"}, head_norms);
  at.Add({"o_w", "ln2_g"}).Add({"ln2_b"}, betas);
  at.Add({"gate_w", "up_w", "down_w", "cos", "sin"}).Add({"mask"}, HasMaskOperand(node));
  at.Add({"positions"}, node.Bool("has_positions")).Add({"past_k", "past_v"}, Appends(node));
  return at;
}

absl::Status CheckWeights(InferContext& ctx, const BlockOperands& at) {
  const Node& node = ctx.node;
  RLX_ASSIGN(const int64_t hidden, HiddenSize(ctx));
  RLX_ASSIGN(const int64_t inner, RequireWeight(ctx, at.At("gate_w"), "gate_w", hidden));
  const int64_t head_dim = node.Int("head_dim");
  const int64_t q = node.Int("num_heads") * head_dim, kv = KvHeads(node) * head_dim;
  return at.RequireShapes(ctx, {{"ln1_g", {hidden}},
                                {"ln1_b", {hidden}},
                                {"q_w", {hidden, q}},
                                {"k_w", {hidden, kv}},
                                {"v_w", {hidden, kv}},
                                {"q_b", {q}},
                                {"k_b", {kv}},
                                {"v_b", {kv}},
                                {"q_norm_g", {head_dim}},
                                {"k_norm_g", {head_dim}},
                                {"o_w", {q, hidden}},
                                {"ln2_g", {hidden}},
                                {"ln2_b", {hidden}},
                                {"up_w", {hidden, inner}},
                                {"down_w", {inner, hidden}}});
}

// The type of all keys, and of all values, that this call sees.
absl::StatusOr<TensorType> CheckCache(InferContext& ctx, const BlockOperands& at) {
  const TensorType& x = ctx.operands[0];
  const Dim width = KvHeads(ctx.node) * ctx.node.Int("head_dim");
  TensorType keys{x.dtype, {x.shape[0], x.shape[1], width}};
  if (!Appends(ctx.node)) return keys;
  const TensorType& past = ctx.operands[at.At("past_k")];
  if (past.rank() != 3) {
    return InvalidArgument("past_k is ", past, " where [batch, past, width] is needed");
  }
  const Shape shape = {x.shape[0], past.shape[1], width};
  RLX_TRY(at.RequireShapes(ctx, {{"past_k", shape}, {"past_v", shape}}));
  keys.shape[1] = past.shape[1] + x.shape[1];
  return keys;
}

absl::Status InferLlama(InferContext& ctx) {
  const Node& node = ctx.node;
  const BlockOperands at = LlamaOperands(node);
  RLX_TRY(at.RequireCount(ctx));
  RLX_TRY(CheckAttentionAttrs(node));
  RLX_TRY(CheckRotaryDims(node));
  RLX_TRY(RequireEpsilon(node));
  RLX_TRY(at.RequireFloats(ctx, {"mask", "positions"}));
  RLX_TRY(CheckWeights(ctx, at));
  RLX_ASSIGN(const TensorType keys, CheckCache(ctx, at));
  const TensorType& x = ctx.operands[0];
  RLX_TRY(CheckRotaryTables(ctx, at.At("cos"), at.At("positions"), x.shape[0], x.shape[1]));
  if (at.Has("mask")) {
    RLX_TRY(CheckMask(ctx, at.At("mask"), BlockAttention(node, x.shape, keys.shape[1])));
  }
  ctx.results = {x};
  if (node.Str("cache") != "none") ctx.results.insert(ctx.results.end(), 2, keys);
  return absl::OkStatus();
}

struct Qkv {
  Value q, k, v;
};

// Queries, and all keys and values that they see.
Qkv Project(GraphBuilder& b, const Node& node, const BlockOperands& at, Value x) {
  const auto operand = [&](std::string_view name) { return at.Of(node, name); };
  std::vector<Value> biases;
  if (at.Has("q_b")) biases = {operand("q_b"), operand("k_b"), operand("v_b")};
  const std::vector<Value> qkv =
      EmitSharedLinear(b, x, {operand("q_w"), operand("k_w"), operand("v_w")}, biases);
  const auto place = [&](Value v, std::string_view norm) {
    if (at.Has(norm)) {
      v = EmitHeadNorm(b, v, node.Int("head_dim"), operand(norm), {}, node.Float("eps"));
    }
    return EmitRope(b, node, v, operand("cos"), operand("sin"), operand("positions"));
  };
  Qkv out = {place(qkv[0], "q_norm_g"), place(qkv[1], "k_norm_g"), qkv[2]};
  if (Appends(node)) {
    out.k = b.Concat({operand("past_k"), out.k}, 1);
    out.v = b.Concat({operand("past_v"), out.v}, 1);
  }
  return out;
}

// h = x + attention(q, k, v)·o_w with q, k, v from rms_norm(x)
// out = h + swiglu(rms_norm(h))
absl::StatusOr<std::vector<Value>> LowerLlama(GraphBuilder& b, const Node& node) {
  RLX_TRY(b.status());
  const BlockOperands at = LlamaOperands(node);
  const auto operand = [&](std::string_view name) { return at.Of(node, name); };
  const double eps = node.Float("eps");
  const Value x = operand("x");
  const Value normed = EmitNorm(b, OpKind::kRmsNorm, x, operand("ln1_g"), operand("ln1_b"), eps);
  const Qkv qkv = Project(b, node, at, normed);
  std::vector<Value> attended = {qkv.q, qkv.k, qkv.v};
  if (at.Has("mask")) attended.push_back(operand("mask"));
  const Value heads =
      b.Emit(OpKind::kAttention, std::move(attended), PickAttrs(node, kAttentionAttrs));
  const NormAndSum h = EmitResidualNorm(b, OpKind::kRmsNorm, b.MatMul(heads, operand("o_w")), x,
                                        operand("ln2_g"), operand("ln2_b"), eps);
  const Value inner = EmitSwiglu(b, h.norm, operand("up_w"), operand("gate_w"));
  const Value out = EmitLinear(b, inner, operand("down_w"), {.residual = h.sum});
  if (node.Str("cache") == "none") return Lowered(b, {out});
  return Lowered(b, {out, qkv.k, qkv.v});
}

constexpr std::string_view kCaches[] = {"none", "start", "append"};

constexpr AttrSpec kLlamaAttrs[] = {
    Of(kAttentionAttrs, "num_heads"),
    Of(kAttentionAttrs, "num_kv_heads"),
    Of(kAttentionAttrs, "head_dim"),
    With(Of(kAttentionAttrs, "mask"), "causal"),
    Of(kAttentionAttrs, "window"),
    Of(kAttentionAttrs, "scale"),
    Of(kAttentionAttrs, "softcap"),
    Of(kRopeAttrs, "n_rot"),
    {.name = "eps", .type = AttrType::kFloat, .doc = "of all norms"},
    Switch("norm_bias", "ln1_b and ln2_b operands follow their gammas"),
    Switch("qkv_bias", "q_b, k_b and v_b operands follow v_w (Qwen 2)"),
    Switch("qk_norm",
           "q_norm_g and k_norm_g operands ([head_dim]) precede o_w: an rms norm of "
           "every head before rope (Qwen 3)"),
    Switch("has_positions",
           "a positions operand ([s] or [b,s]) follows the mask and says which row of the tables "
           "each token takes"),
    {.name = "cache",
     .type = AttrType::kString,
     .required = false,
     .fallback = std::string_view("none"),
     .choices = kCaches,
     .doc = "start: results 1 and 2 are the keys, rotated, and the values, [b,s,kv]; append: "
            "operands past_k and past_v ([b,past,kv]) come last and stand before them"},
};

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kHirLlamaDecoderBlock,
     .name = "llama_decoder_block",
     .claim = "",
     .op_class = OpClass::kBlock,
     .level = Stage::kHir,
     .min_operands = 12,
     .max_operands = 23,
     .results = -1,
     .attrs = kLlamaAttrs,
     .infer = InferLlama,
     .decompose = LowerLlama,
     .doc =
         "(x [b,s,h], ln1_g[, ln1_b], q_w, k_w, v_w[, q_b, k_b, v_b][, q_norm_g, k_norm_g], o_w, "
         "ln2_g[, ln2_b], gate_w, up_w, down_w, cos, sin[, mask][, positions][, past_k, "
         "past_v]): y = x + attention(rope(q), rope(k), v)·o_w with q, k, v from rms_norm(x); "
         "y + swiglu(rms_norm(y))"},
};

}  // namespace

std::span<const OpInfo> HirLlamaOps() { return kTable; }

}  // namespace rlx
