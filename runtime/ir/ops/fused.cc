// SPDX-License-Identifier: Apache-2.0
// Ops that passes form, and that HIR emits under the Direct policy. Each decomposes into exactly
// what it replaces.
#include <cmath>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/ops/activation.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/matmul.h"
#include "runtime/ir/ops/normalization.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

// Positions of the optional operands of fused_matmul_bias_act; -1 when absent.
struct Epilogue {
  int bias = -1, residual = -1, count = 2;
  explicit Epilogue(const Node& node) {
    if (node.Bool("has_bias")) bias = count++;
    if (node.Bool("has_residual")) residual = count++;
  }
};

absl::Status InferMatMulBiasAct(InferContext& ctx) {
  const Epilogue epilogue(ctx.node);
  RLX_TRY(RequireOperands(ctx, epilogue.count, "x, w, then bias and residual by attribute"));
  RLX_TRY(RequireFloats(ctx, epilogue.count));
  if (ctx.operands[1].rank() != 2) {
    return InvalidArgument("w has rank ", ctx.operands[1].rank(), " where 2 is needed");
  }
  RLX_ASSIGN(TensorType type, MatMulType(ctx, ctx.operands[0], ctx.operands[1]));
  if (epilogue.bias >= 0) {
    RLX_TRY(RequireShape(ctx, epilogue.bias, "bias", {type.shape.back()}));
  }
  if (epilogue.residual >= 0) {
    RLX_TRY(RequireShape(ctx, epilogue.residual, "residual", type.shape));
  }
  ctx.results = {std::move(type)};
  return absl::OkStatus();
}

absl::Status EvaluateMatMulBiasAct(EvalContext& ctx) {
  const Epilogue epilogue(ctx.node);
  EvalTensor& out = ctx.results[0];
  MatMulInto(*ctx.operands[0], *ctx.operands[1], out);
  const int64_t n = out.dims.back();
  for (int64_t k = 0; epilogue.bias >= 0 && k < out.size(); ++k) {
    out.f[k] += ctx.operands[epilogue.bias]->f[k % n];
  }
  RLX_TRY(ActivateInPlace(ctx.node, out));
  for (int64_t k = 0; epilogue.residual >= 0 && k < out.size(); ++k) {
    out.f[k] += ctx.operands[epilogue.residual]->f[k];
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Value>> DecomposeMatMulBiasAct(GraphBuilder& b, const Node& node) {
  const Epilogue epilogue(node);
  Value out = b.MatMul(node.operands[0], node.operands[1]);
  if (epilogue.bias >= 0) out = b.Add(out, node.operands[epilogue.bias]);
  out = Activate(b, node, out);
  if (epilogue.residual >= 0) out = b.Add(out, node.operands[epilogue.residual]);
  return Lowered(b, {out});
}

OpSample SampleMatMulBiasAct(Rng& rng) {
  const int64_t m = Draw(rng, 1, 19), k = Draw(rng, 1, 33), n = Draw(rng, 1, 37);
  const bool bias = Flip(rng), residual = Flip(rng), batched = Flip(rng);
  const int64_t batch = Draw(rng, 1, 3);
  auto rows = [&](int64_t width) {
    return FloatOperand(batched ? Shape{batch, m, width} : Shape{m, width}, -1, 1);
  };
  const size_t last = std::size(kActivationNames) - 1;
  OpSample sample{{rows(k), FloatOperand({k, n}, -1, 1)},
                  {{"has_bias", bias},
                   {"has_residual", residual},
                   {"activation", std::string(kActivationNames[Draw(rng, 0, last)])}}};
  if (bias) sample.operands.push_back(FloatOperand({n}));
  if (residual) sample.operands.push_back(rows(n));
  return sample;
}

// Operand positions of the residual norms: x, residual[, bias], gamma[, beta].
struct NormOperands {
  int bias = -1, gamma = 2, beta = -1;
  explicit NormOperands(const Node& node, size_t count) {
    if (node.Bool("has_bias")) bias = gamma++;
    if (static_cast<int>(count) > gamma + 1) beta = gamma + 1;
  }
};

absl::Status InferResidualNorm(InferContext& ctx, bool beta_required) {
  const int count = static_cast<int>(ctx.operands.size());
  const NormOperands at(ctx.node, count);
  const int least = at.gamma + (beta_required ? 2 : 1), most = at.gamma + 2;
  if (count < least || count > most) {
    return RequireOperands(ctx, least, "x, residual, a bias if has_bias, gamma, beta");
  }
  RLX_TRY(RequireFloats(ctx, count));
  RLX_TRY(RequireEpsilon(ctx.node));
  const TensorType& x = ctx.operands[0];
  if (x.rank() < 1) return InvalidArgument("x is a scalar");
  RLX_TRY(RequireShape(ctx, 1, "residual", x.shape));
  if (at.bias >= 0) RLX_TRY(RequireShape(ctx, at.bias, "bias", {x.shape.back()}));
  RLX_TRY(RequireShape(ctx, at.gamma, "gamma", {x.shape.back()}));
  if (at.beta >= 0) RLX_TRY(RequireShape(ctx, at.beta, "beta", {x.shape.back()}));
  ctx.results = {x, x};
  return absl::OkStatus();
}

absl::Status InferResidualLayerNorm(InferContext& ctx) { return InferResidualNorm(ctx, true); }
absl::Status InferResidualRmsNorm(InferContext& ctx) { return InferResidualNorm(ctx, false); }

template <bool kCentred>
absl::Status EvaluateResidualNorm(EvalContext& ctx) {
  const NormOperands at(ctx.node, ctx.operands.size());
  const EvalTensor &x = *ctx.operands[0], &residual = *ctx.operands[1];
  EvalTensor& sum = ctx.results[1];
  const int64_t width = x.dims.back();
  for (int64_t k = 0; k < x.size(); ++k) {
    sum.f[k] = x.f[k] + residual.f[k] + (at.bias < 0 ? 0 : ctx.operands[at.bias]->f[k % width]);
  }
  NormalizeRows(sum, *ctx.operands[at.gamma], at.beta < 0 ? nullptr : ctx.operands[at.beta],
                ctx.node.Float("eps"), kCentred, ctx.results[0]);
  return absl::OkStatus();
}

template <OpKind kNorm>
absl::StatusOr<std::vector<Value>> DecomposeResidualNorm(GraphBuilder& b, const Node& node) {
  const NormOperands at(node, node.operands.size());
  Value sum = b.Add(node.operands[0], node.operands[1]);
  if (at.bias >= 0) sum = b.Add(sum, node.operands[at.bias]);
  std::vector<Value> operands = {sum, node.operands[at.gamma]};
  if (at.beta >= 0) operands.push_back(node.operands[at.beta]);
  const Value norm = b.Emit(kNorm, std::move(operands), {{"eps", node.Float("eps")}});
  return Lowered(b, {norm, sum});
}

OpSample SampleResidualNorm(Rng& rng, bool beta) {
  Shape x;
  for (int64_t d = Draw(rng, 1, 3); d > 0; --d) x.push_back(Draw(rng, 1, d == 1 ? 67 : 5));
  const Dim width = x.back();
  const bool bias = Flip(rng);
  OpSample sample{{FloatOperand(x), FloatOperand(x)},
                  {{"has_bias", bias}, {"eps", Pick(rng, {1e-5, 1e-12})}}};
  for (int i = 0; i < 1 + (bias ? 1 : 0) + (beta ? 1 : 0); ++i) {
    sample.operands.push_back(FloatOperand({width}));
  }
  return sample;
}

OpSample SampleResidualLayerNorm(Rng& rng) { return SampleResidualNorm(rng, true); }
OpSample SampleResidualRmsNorm(Rng& rng) { return SampleResidualNorm(rng, Flip(rng)); }

absl::Status InferSwiglu(InferContext& ctx) {
  RLX_TRY(RequireFloats(ctx, 1));
  TensorType out = ctx.operands[0];
  if (out.rank() < 1) return InvalidArgument("x is a scalar");
  const Dim last = out.shape.back();
  if (!last.is_static()) {
    return InvalidArgument("the last extent ", last, " is symbolic where a constant is needed");
  }
  if (last.value() % 2 != 0) {
    return InvalidArgument("the last extent ", last, " is not an even constant");
  }
  out.shape.back() = last.value() / 2;
  if (ctx.node.Find("cast_to") != nullptr) out.dtype = ctx.node.Type("cast_to");
  if (!IsFloat(out.dtype)) {
    return InvalidArgument("cast_to is ", out.dtype, " where a float is needed");
  }
  ctx.results = {std::move(out)};
  return absl::OkStatus();
}

absl::Status EvaluateSwiglu(EvalContext& ctx) {
  const std::vector<double>& x = ctx.operands[0]->f;
  EvalTensor& out = ctx.results[0];
  const int64_t n = out.dims.back();
  const bool gate_first = ctx.node.Bool("gate_first"), casts = ctx.node.Find("cast_to") != nullptr;
  for (int64_t at = 0; at < out.size(); ++at) {
    const double low = x[at / n * 2 * n + at % n], high = x[at / n * 2 * n + n + at % n];
    const double gate = gate_first ? low : high, up = gate_first ? high : low;
    const double product = up * (gate / (1 + std::exp(-gate)));
    out.f[at] = casts ? RoundTo(out.dtype, product) : product;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Value>> DecomposeSwiglu(GraphBuilder& b, const Node& node) {
  const int64_t n = node.results[0].shape.back().value();
  const int64_t last = node.results[0].rank() - 1;
  const Value low = b.Narrow(node.operands[0], last, 0, n);
  const Value high = b.Narrow(node.operands[0], last, n, n);
  const bool gate_first = node.Bool("gate_first");
  const Value gate = b.Unary(OpKind::kSilu, gate_first ? low : high);
  const Value product = b.Mul(gate_first ? high : low, gate);
  return Lowered(b, {node.Find("cast_to") ? b.Cast(product, node.Type("cast_to")) : product});
}

OpSample SampleSwiglu(Rng& rng) {
  Shape x;
  for (int64_t d = Draw(rng, 0, 2); d > 0; --d) x.push_back(Draw(rng, 1, 7));
  x.push_back(2 * Draw(rng, 1, 35));
  OpSample sample{{FloatOperand(std::move(x))}, {{"gate_first", Flip(rng)}}};
  if (Draw(rng, 0, 2) == 0) {
    sample.attrs.push_back({"cast_to", Pick(rng, {DType::kF16, DType::kBF16, DType::kF32})});
  }
  return sample;
}

constexpr AttrSpec Flag(std::string_view name, std::string_view doc) {
  return {.name = name, .type = AttrType::kBool, .required = false, .fallback = false, .doc = doc};
}
constexpr AttrSpec kMatMulBiasActAttrs[] = {
    Flag("has_bias", "a bias operand follows w"),
    Flag("has_residual", "a residual operand comes last"),
    kActivationAttr,
};
constexpr AttrSpec kResidualNormAttrs[] = {
    Flag("has_bias", "a bias operand follows residual"),
    kEpsAttr,
};
constexpr AttrSpec kSwigluAttrs[] = {
    Flag("gate_first", "the gate is the first half instead of the second"),
    {.name = "cast_to",
     .type = AttrType::kDType,
     .required = false,
     .doc = "the result's element type, a float; absent: that of x"},
};

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kFusedMatMulBiasAct,
     .name = "fused_matmul_bias_act",
     .claim = "FusedMatMulBiasAct",
     .op_class = OpClass::kContraction,
     .min_operands = 2,
     .max_operands = 4,
     .attrs = kMatMulBiasActAttrs,
     .infer = InferMatMulBiasAct,
     .evaluate = EvaluateMatMulBiasAct,
     .decompose = DecomposeMatMulBiasAct,
     .sample = SampleMatMulBiasAct,
     .doc = "(x [..,m,k], w [k,n][, bias [n]][, residual [..,m,n]]): activation(x·w + bias) + "
            "residual"},
    {.kind = OpKind::kFusedResidualLayerNorm,
     .name = "fused_residual_layer_norm",
     .claim = "FusedResidualLN",
     .op_class = OpClass::kNormalization,
     .min_operands = 4,
     .max_operands = 5,
     .results = 2,
     .attrs = kResidualNormAttrs,
     .infer = InferResidualLayerNorm,
     .evaluate = EvaluateResidualNorm<true>,
     .decompose = DecomposeResidualNorm<OpKind::kLayerNorm>,
     .sample = SampleResidualLayerNorm,
     .doc =
         "(x, residual[, bias [n]], gamma [n], beta [n]): sum = x + residual + bias; results are "
         "layer_norm(sum) over the last axis, and sum"},
    {.kind = OpKind::kFusedResidualRmsNorm,
     .name = "fused_residual_rms_norm",
     .claim = "FusedResidualRmsNorm",
     .op_class = OpClass::kNormalization,
     .min_operands = 3,
     .max_operands = 5,
     .results = 2,
     .attrs = kResidualNormAttrs,
     .infer = InferResidualRmsNorm,
     .evaluate = EvaluateResidualNorm<false>,
     .decompose = DecomposeResidualNorm<OpKind::kRmsNorm>,
     .sample = SampleResidualRmsNorm,
     .doc = "(x, residual[, bias [n]], gamma [n][, beta [n]]): sum = x + residual + bias; results "
            "are rms_norm(sum) over the last axis, and sum"},
    {.kind = OpKind::kFusedSwiglu,
     .name = "fused_swiglu",
     .claim = "FusedSwiGLU",
     .op_class = OpClass::kComposite,
     .min_operands = 1,
     .max_operands = 1,
     .attrs = kSwigluAttrs,
     .infer = InferSwiglu,
     .evaluate = EvaluateSwiglu,
     .decompose = DecomposeSwiglu,
     .sample = SampleSwiglu,
     .doc = "(x [..,2n]): x[..,:n]·silu(x[..,n:]), or with gate_first x[..,n:]·silu(x[..,:n])"},
};

}  // namespace

std::span<const OpInfo> FusedOps() { return kTable; }

}  // namespace rlx
