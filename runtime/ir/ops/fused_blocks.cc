// SPDX-License-Identifier: Apache-2.0
// Whole attention blocks and encoder layers, made by passes for targets that run them in one
// kernel. Everywhere else they are what they decompose to: the fused ops that the block was made
// from, or would have been, so that taking one apart never costs a fusion.
#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/ops/activation.h"
#include "runtime/ir/ops/attention.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/hir_block.h"
#include "runtime/ir/ops/normalization.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

// Positions of a block's operands; -1 when absent.
struct Block {
  int qkv_w, qkv_b = -1, out_w, out_b = -1, cos = -1, positions = -1, mask = -1, count = 1;

  explicit Block(const Node& node) {
    qkv_w = count++;
    if (node.Bool("has_qkv_bias")) qkv_b = count++;
    out_w = count++;
    if (node.Bool("has_out_bias")) out_b = count++;
    if (node.Bool("has_rope")) {
      cos = count;
      count += 2;
      if (node.Bool("has_positions")) positions = count++;
    }
    if (HasMaskOperand(node)) mask = count++;
  }
};

int64_t QueryWidth(const Node& node) { return node.Int("num_heads") * node.Int("head_dim"); }
int64_t KeyWidth(const Node& node) { return KvHeads(node) * node.Int("head_dim"); }
int64_t JointWidth(const Node& node) { return QueryWidth(node) + 2 * KeyWidth(node); }

AttentionDims SelfAttention(const Node& node, const Shape& x) {
  return {.heads_first = false,
          .batch = x[0],
          .q_len = x[1],
          .k_len = x[1],
          .heads = node.Int("num_heads"),
          .kv_heads = KvHeads(node),
          .head_dim = node.Int("head_dim"),
          .v_head_dim = node.Int("head_dim")};
}

absl::Status RequireSequence(const InferContext& ctx) {
  const TensorType& x = ctx.operands[0];
  if (!IsFloat(x.dtype)) return InvalidArgument("x is ", x.dtype, " where a float is needed");
  if (x.rank() == 3) return absl::OkStatus();
  return InvalidArgument("x is ", x, " where [batch, seq, hidden] is needed");
}

absl::Status RequireSameDtype(const InferContext& ctx, int from, int to) {
  for (int i = from; i < to; ++i) {
    if (ctx.operands[i].dtype == ctx.operands[0].dtype) continue;
    return InvalidArgument("operand ", i, " is ", ctx.operands[i].dtype, " where x is ",
                           ctx.operands[0].dtype);
  }
  return absl::OkStatus();
}

// Operand `i` is a matrix of `rows` rows; returns its columns.
absl::StatusOr<Dim> RequireMatrix(InferContext& ctx, int i, std::string_view name,
                                  const Dim& rows) {
  const TensorType& type = ctx.operands[i];
  if (type.rank() != 2) return InvalidArgument(name, " is ", type, " where a matrix is needed");
  RLX_TRY(RequireShape(ctx, i, name, {rows, type.shape[1]}));
  return type.shape[1];
}

absl::Status InferAttentionBlock(InferContext& ctx) {
  const Node& node = ctx.node;
  const Block at(node);
  if (node.Bool("has_positions") && !node.Bool("has_rope")) {
    return InvalidArgument("has_positions is set but has_rope is not");
  }
  RLX_TRY(RequireOperands(ctx, at.count,
                          "x, qkv_w, qkv_b if has_qkv_bias, out_w, out_b if has_out_bias, cos and "
                          "sin if has_rope, positions if has_positions, mask if keep or bias"));
  RLX_TRY(RequireSequence(ctx));
  RLX_TRY(CheckAttentionAttrs(node));
  RLX_TRY(RequireSameDtype(ctx, at.qkv_w, at.cos < 0 ? at.out_w + 1 + (at.out_b > 0) : at.cos));
  const Shape& x = ctx.operands[0].shape;
  RLX_TRY(RequireShape(ctx, at.qkv_w, "qkv_w", {x[2], JointWidth(node)}));
  if (at.qkv_b > 0) RLX_TRY(RequireShape(ctx, at.qkv_b, "qkv_b", {JointWidth(node)}));
  RLX_ASSIGN(const Dim columns, RequireMatrix(ctx, at.out_w, "out_w", QueryWidth(node)));
  if (at.out_b > 0) RLX_TRY(RequireShape(ctx, at.out_b, "out_b", {columns}));
  const AttentionDims dims = SelfAttention(node, x);
  if (at.cos > 0) {
    RLX_TRY(CheckRotaryDims(node));
    RLX_TRY(CheckRotaryTables(ctx, at.cos, at.positions, dims.batch, dims.q_len));
  } else if (node.Find("n_rot") != nullptr) {
    return InvalidArgument("n_rot is given but has_rope is not set");
  }
  if (at.mask > 0) RLX_TRY(CheckMask(ctx, at.mask, dims));
  ctx.results = {{ctx.operands[0].dtype, {x[0], x[1], columns}}};
  return absl::OkStatus();
}

// x·w + bias, where a bias makes it the fused product.
Value Linear(GraphBuilder& b, Value x, Value w, Value bias, std::string_view activation = "none") {
  if (!bias.valid() && activation == "none") return b.MatMul(x, w);
  std::vector<Value> operands = {x, w};
  if (bias.valid()) operands.push_back(bias);
  return b.Emit(OpKind::kFusedMatMulBiasAct, std::move(operands),
                {{"has_bias", bias.valid()}, {"activation", std::string(activation)}});
}

absl::StatusOr<std::vector<Value>> DecomposeAttentionBlock(GraphBuilder& b, const Node& node) {
  const Block at(node);
  auto operand = [&](int i) { return i < 0 ? Value{} : node.operands[i]; };
  const Value joint = Linear(b, operand(0), operand(at.qkv_w), operand(at.qkv_b));
  const int64_t q_width = QueryWidth(node), k_width = KeyWidth(node);
  auto rotate = [&](Value heads) {
    if (at.cos < 0) return heads;
    std::vector<Value> operands = {heads, operand(at.cos), operand(at.cos + 1)};
    if (at.positions > 0) operands.push_back(operand(at.positions));
    return b.Emit(OpKind::kRope, std::move(operands), PickAttrs(node, kRopeAttrs));
  };
  std::vector<Value> attended = {rotate(b.Narrow(joint, 2, 0, q_width)),
                                 rotate(b.Narrow(joint, 2, q_width, k_width)),
                                 b.Narrow(joint, 2, q_width + k_width, k_width)};
  if (at.mask > 0) attended.push_back(operand(at.mask));
  const Value heads =
      b.Emit(OpKind::kAttention, std::move(attended), PickAttrs(node, kAttentionAttrs));
  return Lowered(b, {Linear(b, heads, operand(at.out_w), operand(at.out_b))});
}

// A mask operand for attention over [b, heads, s, s], if the kind of mask has one.
void AddMask(Rng& rng, const std::string& kind, int64_t b, int64_t heads, int64_t s,
             OpSample& sample) {
  const Shape full = Pick<Shape>(rng, {{b, heads, s, s}, {1, 1, s, s}, {b, 1, 1, s}});
  if (kind == "bias") sample.operands.push_back(FloatOperand(full));
  if (kind == "keep") sample.operands.push_back({{DType::kBool, full}, 0, 1});
}

OpSample SampleAttentionBlock(Rng& rng) {
  const int64_t kv = Draw(rng, 1, 2), heads = kv * Draw(rng, 1, 3), d = 2 * Draw(rng, 1, 4);
  const int64_t b = Draw(rng, 1, 2), s = Draw(rng, 1, 7), hidden = Draw(rng, 1, 9);
  const int64_t out = Draw(rng, 1, 9), joint = (heads + 2 * kv) * d;
  const bool qkv_bias = Flip(rng), out_bias = Flip(rng), rope = Flip(rng);
  const bool positions = rope && Flip(rng);
  const auto mask = Pick<std::string>(rng, {"none", "causal", "keep", "bias"});
  OpSample sample{{FloatOperand({b, s, hidden}), FloatOperand({hidden, joint}, -1, 1)},
                  {{"num_heads", heads},
                   {"num_kv_heads", kv},
                   {"head_dim", d},
                   {"mask", mask},
                   {"has_qkv_bias", qkv_bias},
                   {"has_out_bias", out_bias},
                   {"has_rope", rope},
                   {"has_positions", positions}}};
  if (qkv_bias) sample.operands.push_back(FloatOperand({joint}));
  sample.operands.push_back(FloatOperand({heads * d, out}, -1, 1));
  if (out_bias) sample.operands.push_back(FloatOperand({out}));
  const int64_t rows = s + Draw(rng, 0, 3);
  for (int table = 0; rope && table < 2; ++table) {
    sample.operands.push_back(FloatOperand({rows, d / 2}, -1, 1));
  }
  if (positions) {
    sample.operands.push_back({{DType::kI64, {b, s}}, 0, static_cast<double>(rows - 1)});
  }
  AddMask(rng, mask, b, heads, s, sample);
  return sample;
}

// Positions of a layer's operands; -1 when absent.
struct Layer {
  int qkv_w, qkv_b = -1, out_w, out_b = -1, ln1_g, ln1_b, fc1_w, fc1_b = -1, fc2_w, fc2_b = -1;
  int ln2_g, ln2_b, mask = -1, count = 1;

  explicit Layer(const Node& node) {
    const bool bias = node.Bool("has_bias");
    auto linear = [&](int& w, int& b) {
      w = count++;
      if (bias) b = count++;
    };
    auto norm = [&](int& g, int& b) {
      g = count++;
      b = count++;
    };
    linear(qkv_w, qkv_b);
    linear(out_w, out_b);
    norm(ln1_g, ln1_b);
    linear(fc1_w, fc1_b);
    linear(fc2_w, fc2_b);
    norm(ln2_g, ln2_b);
    if (HasMaskOperand(node)) mask = count++;
  }
};

absl::Status RequireEps(const Node& node, std::string_view name) {
  if (node.Float(name) >= 0) return absl::OkStatus();
  return InvalidArgument(name, " is ", node.Float(name));
}

absl::Status InferTransformerLayer(InferContext& ctx) {
  const Node& node = ctx.node;
  const Layer at(node);
  RLX_TRY(RequireOperands(ctx, at.count,
                          "x, qkv_w, out_w, ln1_g, ln1_b, fc1_w, fc2_w, ln2_g, ln2_b, with "
                          "has_bias a bias after each w, mask if keep or bias"));
  RLX_TRY(RequireSequence(ctx));
  RLX_TRY(CheckAttentionAttrs(node));
  RLX_TRY(RequireEps(node, "eps1"));
  RLX_TRY(RequireEps(node, "eps2"));
  RLX_TRY(RequireSameDtype(ctx, at.qkv_w, at.ln2_b + 1));
  const Shape& x = ctx.operands[0].shape;
  const Dim hidden = x[2];
  RLX_ASSIGN(const Dim inner, RequireMatrix(ctx, at.fc1_w, "fc1_w", hidden));
  RLX_TRY(RequireShape(ctx, at.qkv_w, "qkv_w", {hidden, JointWidth(node)}));
  RLX_TRY(RequireShape(ctx, at.out_w, "out_w", {QueryWidth(node), hidden}));
  RLX_TRY(RequireShape(ctx, at.fc2_w, "fc2_w", {inner, hidden}));
  if (at.qkv_b > 0) {
    RLX_TRY(RequireShape(ctx, at.qkv_b, "qkv_b", {JointWidth(node)}));
    RLX_TRY(RequireShape(ctx, at.out_b, "out_b", {hidden}));
    RLX_TRY(RequireShape(ctx, at.fc1_b, "fc1_b", {inner}));
    RLX_TRY(RequireShape(ctx, at.fc2_b, "fc2_b", {hidden}));
  }
  RLX_TRY(RequireShape(ctx, at.ln1_g, "ln1_g", {hidden}));
  RLX_TRY(RequireShape(ctx, at.ln1_b, "ln1_b", {hidden}));
  RLX_TRY(RequireShape(ctx, at.ln2_g, "ln2_g", {hidden}));
  RLX_TRY(RequireShape(ctx, at.ln2_b, "ln2_b", {hidden}));
  if (at.mask > 0) RLX_TRY(CheckMask(ctx, at.mask, SelfAttention(node, x)));
  ctx.results = {ctx.operands[0]};
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Value>> DecomposeTransformerLayer(GraphBuilder& b, const Node& node) {
  const Layer at(node);
  const bool bias = node.Bool("has_bias");
  auto operand = [&](int i) { return i < 0 ? Value{} : node.operands[i]; };
  auto norm = [&](Value x, Value residual, int gamma, std::string_view eps) {
    return b.Emit(OpKind::kFusedResidualLayerNorm,
                  {x, residual, operand(gamma), operand(gamma + 1)}, {{"eps", node.Float(eps)}});
  };
  std::vector<Value> operands = {operand(0), operand(at.qkv_w)};
  if (bias) operands.push_back(operand(at.qkv_b));
  operands.push_back(operand(at.out_w));
  if (bias) operands.push_back(operand(at.out_b));
  if (at.mask > 0) operands.push_back(operand(at.mask));
  std::vector<Attr> attrs = PickAttrs(node, kAttentionAttrs);
  attrs.push_back({"has_qkv_bias", bias});
  attrs.push_back({"has_out_bias", bias});
  const Value attended =
      b.Emit(OpKind::kFusedAttentionBlock, std::move(operands), std::move(attrs));
  const Value h = norm(attended, operand(0), at.ln1_g, "eps1");
  const Value inner = Linear(b, h, operand(at.fc1_w), operand(at.fc1_b), node.Str("activation"));
  const Value outer = Linear(b, inner, operand(at.fc2_w), operand(at.fc2_b));
  return Lowered(b, {norm(outer, h, at.ln2_g, "eps2")});
}

OpSample SampleTransformerLayer(Rng& rng) {
  const int64_t heads = Draw(rng, 1, 3), d = Draw(rng, 1, 4), b = Draw(rng, 1, 2);
  const int64_t s = Draw(rng, 1, 5), hidden = Draw(rng, 2, 9), inner = Draw(rng, 1, 11);
  const bool bias = Flip(rng);
  const auto mask = Pick<std::string>(rng, {"none", "keep", "bias"});
  OpSample sample{{FloatOperand({b, s, hidden})},
                  {{"num_heads", heads},
                   {"head_dim", d},
                   {"mask", mask},
                   {"activation", Pick<std::string>(rng, {"gelu", "relu", "silu"})},
                   {"has_bias", bias}}};
  auto linear = [&](int64_t k, int64_t n) {
    sample.operands.push_back(FloatOperand({k, n}, -1, 1));
    if (bias) sample.operands.push_back(FloatOperand({n}));
  };
  auto norm = [&] {
    for (int i = 0; i < 2; ++i) sample.operands.push_back(FloatOperand({hidden}));
  };
  linear(hidden, 3 * heads * d);
  linear(heads * d, hidden);
  norm();
  linear(hidden, inner);
  linear(inner, hidden);
  norm();
  AddMask(rng, mask, b, heads, s, sample);
  return sample;
}

constexpr AttrSpec Flag(std::string_view name, std::string_view doc) {
  return {.name = name, .type = AttrType::kBool, .required = false, .fallback = false, .doc = doc};
}
constexpr AttrSpec Eps(std::string_view name, std::string_view doc) {
  AttrSpec spec = kEpsAttr;
  spec.name = name;
  spec.doc = doc;
  return spec;
}
constexpr AttrSpec kBlockAttrs[] = {
    Of(kAttentionAttrs, "num_heads"),
    Of(kAttentionAttrs, "num_kv_heads"),
    Of(kAttentionAttrs, "head_dim"),
    Of(kAttentionAttrs, "mask"),
    Of(kAttentionAttrs, "window"),
    Of(kAttentionAttrs, "scale"),
    Of(kAttentionAttrs, "softcap"),
    Of(kRopeAttrs, "n_rot"),
    Flag("has_qkv_bias", "qkv_b follows qkv_w"),
    Flag("has_out_bias", "out_b follows out_w"),
    Flag("has_rope", "queries and keys rotate by cos and sin"),
    Flag("has_positions", "with has_rope: positions follow sin"),
};
constexpr AttrSpec kLayerAttrs[] = {
    Of(kAttentionAttrs, "num_heads"),
    Of(kAttentionAttrs, "num_kv_heads"),
    Of(kAttentionAttrs, "head_dim"),
    Of(kAttentionAttrs, "mask"),
    Of(kAttentionAttrs, "window"),
    Of(kAttentionAttrs, "scale"),
    Of(kAttentionAttrs, "softcap"),
    Eps("eps1", "of the norm after attention"),
    Eps("eps2", "of the last norm"),
    kActivationAttr,
    Flag("has_bias", "a bias follows each of the four weights"),
};

constexpr RunCheck kBlockChecks[] = {{.operand = -1}};  // positions

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kFusedAttentionBlock,
     .name = "fused_attention_block",
     .claim = "FusedAttentionBlock",
     .op_class = OpClass::kComposite,
     .min_operands = 3,
     .max_operands = 9,
     .attrs = kBlockAttrs,
     .checks = kBlockChecks,
     .infer = InferAttentionBlock,
     .evaluate = EvaluateDecomposed,
     .decompose = DecomposeAttentionBlock,
     .sample = SampleAttentionBlock,
     .doc =
         "(x [b,s,h], qkv_w [h,q+2·kv][, qkv_b], out_w [q,n][, out_b][, cos, sin[, positions]][, "
         "mask]): attention(rope(q), rope(k), v)·out_w + out_b with q, k, v the parts of x·qkv_w "
         "+ qkv_b, q of num_heads and k, v of num_kv_heads heads"},
    {.kind = OpKind::kFusedTransformerLayer,
     .name = "fused_transformer_layer",
     .claim = "FusedTransformerLayer",
     .op_class = OpClass::kComposite,
     .min_operands = 9,
     .max_operands = 14,
     .attrs = kLayerAttrs,
     .infer = InferTransformerLayer,
     .evaluate = EvaluateDecomposed,
     .decompose = DecomposeTransformerLayer,
     .sample = SampleTransformerLayer,
     .doc = "(x [b,s,h], qkv_w[, qkv_b], out_w[, out_b], ln1_g, ln1_b, fc1_w[, fc1_b], fc2_w[, "
            "fc2_b], ln2_g, ln2_b[, mask]): y = layer_norm(x + fused_attention_block(x)); "
            "layer_norm(y + activation(y·fc1_w + fc1_b)·fc2_w + fc2_b)"},
};

}  // namespace

std::span<const OpInfo> FusedBlockOps() { return kTable; }

}  // namespace rlx
