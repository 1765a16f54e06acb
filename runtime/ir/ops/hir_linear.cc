// SPDX-License-Identifier: Apache-2.0
// Blocks around one or two matrix products, and norms. What they are lowered to is in hir_emit.
#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/ops/activation.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/hir_emit.h"
#include "runtime/ir/ops/normalization.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

using Values = absl::StatusOr<std::vector<Value>>;

int Count(const InferContext& ctx) { return static_cast<int>(ctx.operands.size()); }

// x as the left side of a product: a float of rank 2 or more.
absl::Status CheckRows(const InferContext& ctx) {
  RLX_TRY(RequireFloats(ctx, Count(ctx)));
  const int rank = ctx.operands[0].rank();
  if (rank >= 2) return absl::OkStatus();
  return InvalidArgument("x has rank ", rank, " where 2 or more are needed");
}

// x with another last extent.
TensorType WithWidth(TensorType x, int64_t width) {
  x.shape.back() = width;
  return x;
}

absl::Status InferLinear(InferContext& ctx) {
  RLX_TRY(CheckRows(ctx));
  const TensorType& x = ctx.operands[0];
  RLX_ASSIGN(const int64_t n, RequireWeight(ctx, 1, "w", x.shape.back()));
  if (Count(ctx) > 2) RLX_TRY(RequireShape(ctx, 2, "bias", {n}));
  ctx.results = {WithWidth(x, n)};
  return absl::OkStatus();
}

LinearParts PartsOf(const Node& node) {
  return {.bias = node.operands.size() > 2 ? node.operands[2] : Value{},
          .activation = node.Str("activation"),
          .residual = {}};
}

Values LowerLinear(GraphBuilder& b, const Node& node) {
  return Lowered(b, {EmitLinear(b, node.operands[0], node.operands[1], PartsOf(node))});
}

Values LowerLinearFused(GraphBuilder& b, const Node& node) {
  return Lowered(b, {EmitFusedLinear(b, node.operands[0], node.operands[1], PartsOf(node))});
}

absl::Status InferSharedLinearPair(InferContext& ctx) {
  RLX_TRY(CheckRows(ctx));
  const TensorType& x = ctx.operands[0];
  RLX_ASSIGN(const int64_t first, RequireWeight(ctx, 1, "w_first", x.shape.back()));
  RLX_ASSIGN(const int64_t second, RequireWeight(ctx, 2, "w_second", x.shape.back()));
  ctx.results = {WithWidth(x, first), WithWidth(x, second)};
  return absl::OkStatus();
}

Values LowerSharedLinearPair(GraphBuilder& b, const Node& node) {
  RLX_TRY(b.status());
  return Lowered(b, EmitSharedLinear(b, node.operands[0], {node.operands[1], node.operands[2]}));
}

absl::Status InferSwiglu(InferContext& ctx) {
  RLX_TRY(CheckRows(ctx));
  const TensorType& x = ctx.operands[0];
  RLX_ASSIGN(const int64_t n, RequireWeight(ctx, 1, "up_w", x.shape.back()));
  RLX_TRY(RequireShape(ctx, 2, "gate_w", {x.shape.back(), n}));
  RLX_ASSIGN(const int64_t out, RequireWeight(ctx, 3, "down_w", n));
  ctx.results = {WithWidth(x, out)};
  return absl::OkStatus();
}

Values LowerSwiglu(GraphBuilder& b, const Node& node) {
  const auto& v = node.operands;
  return Lowered(b, {b.MatMul(EmitSwiglu(b, v[0], v[1], v[2]), v[3])});
}

absl::Status InferResidualNorm(InferContext& ctx) {
  RLX_TRY(RequireFloats(ctx, Count(ctx)));
  RLX_TRY(RequireEpsilon(ctx.node));
  const TensorType& x = ctx.operands[0];
  if (x.rank() < 1) return InvalidArgument("x is a scalar");
  RLX_TRY(RequireShape(ctx, 1, "residual", x.shape));
  RLX_TRY(RequireShape(ctx, 2, "gamma", {x.shape.back()}));
  if (Count(ctx) > 3) RLX_TRY(RequireShape(ctx, 3, "beta", {x.shape.back()}));
  ctx.results = {x, x};
  return absl::OkStatus();
}

template <OpKind kNorm>
Values LowerResidualNorm(GraphBuilder& b, const Node& node) {
  const auto& v = node.operands;
  const Value beta = v.size() > 3 ? v[3] : Value{};
  const NormAndSum out = EmitResidualNorm(b, kNorm, v[0], v[1], v[2], beta, node.Float("eps"));
  return Lowered(b, {out.norm, out.sum});
}

template <OpKind kNorm>
Values LowerNorm(GraphBuilder& b, const Node& node) {
  return Lowered(b, {b.Emit(kNorm, node.operands, node.attrs)});
}

constexpr AttrSpec kActivationAttrs[] = {kActivationAttr};
constexpr AttrSpec kEpsAttrs[] = {kEpsAttr};

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kHirLinear,
     .name = "linear",
     .claim = "",
     .op_class = OpClass::kBlock,
     .level = Stage::kHir,
     .min_operands = 2,
     .max_operands = 3,
     .attrs = kActivationAttrs,
     .infer = InferLinear,
     .decompose = LowerLinear,
     .doc = "(x [..,k], w [k,n][, bias [n]]): activation(x·w + bias)"},
    {.kind = OpKind::kHirLinearFused,
     .name = "linear_fused",
     .claim = "",
     .op_class = OpClass::kBlock,
     .level = Stage::kHir,
     .min_operands = 3,
     .max_operands = 3,
     .attrs = kActivationAttrs,
     .infer = InferLinear,
     .decompose = LowerLinearFused,
     .doc = "(x [..,k], w [k,n], bias [n]): linear as one fused op under either policy"},
    {.kind = OpKind::kHirSharedLinearPair,
     .name = "shared_linear_pair",
     .claim = "",
     .op_class = OpClass::kBlock,
     .level = Stage::kHir,
     .min_operands = 3,
     .max_operands = 3,
     .results = 2,
     .infer = InferSharedLinearPair,
     .decompose = LowerSharedLinearPair,
     .doc = "(x [..,k], w_first [k,n], w_second [k,m]): results are x·w_first and x·w_second"},
    {.kind = OpKind::kHirSwiglu,
     .name = "swiglu",
     .claim = "",
     .op_class = OpClass::kBlock,
     .level = Stage::kHir,
     .min_operands = 4,
     .max_operands = 4,
     .infer = InferSwiglu,
     .decompose = LowerSwiglu,
     .doc = "(x [..,k], up_w [k,n], gate_w [k,n], down_w [n,m]): "
            "((x·up_w)·silu(x·gate_w))·down_w",
     .label = [](const Node&) { return std::string("swiglu_ffn"); }},
    {.kind = OpKind::kHirResidualRmsNorm,
     .name = "residual_rms_norm",
     .claim = "",
     .op_class = OpClass::kBlock,
     .level = Stage::kHir,
     .min_operands = 3,
     .max_operands = 4,
     .results = 2,
     .attrs = kEpsAttrs,
     .infer = InferResidualNorm,
     .decompose = LowerResidualNorm<OpKind::kRmsNorm>,
     .doc = "(x, residual, gamma[, beta]): results are rms_norm(x + residual) and x + residual"},
    {.kind = OpKind::kHirResidualLayerNorm,
     .name = "residual_layer_norm",
     .claim = "",
     .op_class = OpClass::kBlock,
     .level = Stage::kHir,
     .min_operands = 4,
     .max_operands = 4,
     .results = 2,
     .attrs = kEpsAttrs,
     .infer = InferResidualNorm,
     .decompose = LowerResidualNorm<OpKind::kLayerNorm>,
     .doc = "(x, residual, gamma, beta): results are layer_norm(x + residual) and x + residual"},
    {.kind = OpKind::kHirRmsNorm,
     .name = "hir.rms_norm",
     .claim = "",
     .op_class = OpClass::kBlock,
     .level = Stage::kHir,
     .min_operands = 2,
     .max_operands = 3,
     .attrs = kNormAttrs,
     .infer = InferRmsNorm,
     .decompose = LowerNorm<OpKind::kRmsNorm>,
     .doc = "(x, gamma[, beta]): rms_norm as a block"},
    {.kind = OpKind::kHirLayerNorm,
     .name = "hir.layer_norm",
     .claim = "",
     .op_class = OpClass::kBlock,
     .level = Stage::kHir,
     .min_operands = 3,
     .max_operands = 3,
     .attrs = kNormAttrs,
     .infer = InferLayerNorm,
     .decompose = LowerNorm<OpKind::kLayerNorm>,
     .doc = "(x, gamma, beta): layer_norm as a block"},
};

}  // namespace

std::span<const OpInfo> HirLinearOps() { return kTable; }

}  // namespace rlx
