// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/ops/normalization.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

using Ints = std::vector<int64_t>;

// The shape of gamma and beta: the dims of x from `axis` on.
absl::StatusOr<Shape> NormalizedShape(InferContext& ctx) {
  RLX_TRY(RequireFloats(ctx, static_cast<int>(ctx.operands.size())));
  RLX_TRY(RequireEpsilon(ctx.node));
  const Shape& x = ctx.operands[0].shape;
  return Shape(x.begin() + ctx.node.Int("axis"), x.end());
}

template <bool kCentred>
absl::Status EvaluateNorm(EvalContext& ctx) {
  const EvalTensor* beta = ctx.operands.size() > 2 ? ctx.operands[2] : nullptr;
  NormalizeRows(*ctx.operands[0], *ctx.operands[1], beta, ctx.node.Float("eps"), kCentred,
                ctx.results[0]);
  return absl::OkStatus();
}

// 16-bit floats are taken apart in f32: a sum of squares leaves their range and their digits.
DType Wide(DType dtype) { return ByteWidth(dtype) < 4 ? DType::kF32 : dtype; }

Value To(GraphBuilder& b, Value x, DType dtype) {
  return b.type(x).dtype == dtype ? x : b.Cast(x, dtype);
}

// (x - mean)·rsqrt(mean((x - mean)²) + eps)·gamma + beta, the mean only when centred.
template <bool kCentred>
absl::StatusOr<std::vector<Value>> DecomposeNorm(GraphBuilder& b, const Node& node) {
  const TensorType& type = node.results[0];
  const DType wide = Wide(type.dtype);
  Value x = To(b, node.operands[0], wide);
  Ints axes;
  for (int64_t axis = node.Int("axis"); axis < type.rank(); ++axis) axes.push_back(axis);
  if (kCentred) x = b.Sub(x, b.Reduce(OpKind::kReduceMean, x, axes, true));
  const Value variance = b.Reduce(OpKind::kReduceMean, b.Mul(x, x), axes, true);
  const Value eps = b.Scalar(wide, node.Float("eps"));
  Value out = b.Mul(x, b.Unary(OpKind::kRsqrt, b.Add(variance, eps)));
  out = b.Mul(out, To(b, node.operands[1], wide));
  if (node.operands.size() > 2) out = b.Add(out, To(b, node.operands[2], wide));
  return Lowered(b, {To(b, out, type.dtype)});
}

OpSample SampleNorm(Rng& rng, bool beta) {
  Shape x;
  for (int64_t d = Draw(rng, 1, 4); d > 0; --d) x.push_back(Draw(rng, 1, d == 1 ? 67 : 5));
  const int64_t rank = static_cast<int64_t>(x.size());
  const int64_t axis = Flip(rng) ? -1 : Draw(rng, -rank, rank - 1);
  const Shape tail(x.begin() + (axis < 0 ? axis + rank : axis), x.end());
  OpSample sample{{FloatOperand(x), FloatOperand(tail)},
                  {{"axis", axis}, {"eps", Pick(rng, {1e-5, 1e-12, 1e-3})}}};
  if (beta) sample.operands.push_back(FloatOperand(tail));
  return sample;
}

OpSample SampleLayerNorm(Rng& rng) { return SampleNorm(rng, true); }
OpSample SampleRmsNorm(Rng& rng) { return SampleNorm(rng, Flip(rng)); }

absl::Status InferBatchNorm(InferContext& ctx) {
  RLX_TRY(RequireFloats(ctx, 5));
  RLX_TRY(RequireEpsilon(ctx.node));
  const TensorType& x = ctx.operands[0];
  if (x.rank() < 2) return InvalidArgument("x has rank ", x.rank(), " where 2 or more are needed");
  constexpr std::string_view kNames[] = {"x", "scale", "bias", "mean", "variance"};
  for (int i = 1; i < 5; ++i) RLX_TRY(RequireShape(ctx, i, kNames[i], {x.shape[1]}));
  ctx.results = {x};
  return absl::OkStatus();
}

absl::Status EvaluateBatchNorm(EvalContext& ctx) {
  const EvalTensor &x = *ctx.operands[0], &scale = *ctx.operands[1], &bias = *ctx.operands[2];
  const EvalTensor &mean = *ctx.operands[3], &variance = *ctx.operands[4];
  const int64_t channels = x.dims[1], inner = Product(x.dims, 2);
  for (int64_t at = 0; at < x.size(); ++at) {
    const int64_t c = at / inner % channels;
    const double unit = (x.f[at] - mean.f[c]) / std::sqrt(variance.f[c] + ctx.node.Float("eps"));
    ctx.results[0].f[at] = unit * scale.f[c] + bias.f[c];
  }
  return absl::OkStatus();
}

// x·a + (bias - mean·a) with a = scale·rsqrt(variance + eps): all but one multiply-add depends on
// weights alone.
absl::StatusOr<std::vector<Value>> DecomposeBatchNorm(GraphBuilder& b, const Node& node) {
  RLX_TRY(b.status());
  const auto& v = node.operands;
  const Value eps = b.Scalar(node.results[0].dtype, node.Float("eps"));
  const Value a = b.Mul(v[1], b.Unary(OpKind::kRsqrt, b.Add(v[4], eps)));
  const Value shift = b.Sub(v[2], b.Mul(v[3], a));
  Shape channelwise(node.results[0].shape.size() - 1, 1);
  channelwise[0] = node.results[0].shape[1];
  const Value scaled = b.Mul(v[0], b.Reshape(a, channelwise));
  return Lowered(b, {b.Add(scaled, b.Reshape(shift, channelwise))});
}

OpSample SampleBatchNorm(Rng& rng) {
  const int64_t c = Draw(rng, 1, 6);
  Shape x = {Draw(rng, 1, 3), c};
  for (int64_t d = Draw(rng, 0, 3); d > 0; --d) x.push_back(Draw(rng, 1, 7));
  return {{FloatOperand(std::move(x)), FloatOperand({c}), FloatOperand({c}), FloatOperand({c}),
           FloatOperand({c}, 0.1, 3)},
          {{"eps", 1e-5}}};
}

absl::Status InferSoftmax(InferContext& ctx) {
  RLX_TRY(RequireFloats(ctx, 1));
  ctx.results = {ctx.operands[0]};
  return absl::OkStatus();
}

absl::Status EvaluateSoftmax(EvalContext& ctx) {
  const EvalTensor& x = *ctx.operands[0];
  std::vector<double>& out = ctx.results[0].f;
  const int64_t axis = ctx.node.Int("axis");
  const int64_t n = x.dims[axis], inner = Product(x.dims, axis + 1), outer = x.size() / n / inner;
  for (int64_t line = 0; line < outer * inner; ++line) {
    const int64_t first = line / inner * n * inner + line % inner;
    double top = -std::numeric_limits<double>::infinity(), sum = 0;
    for (int64_t k = 0; k < n; ++k) top = std::max(top, x.f[first + k * inner]);
    for (int64_t k = 0; k < n; ++k) {
      sum += out[first + k * inner] = std::exp(x.f[first + k * inner] - top);
    }
    for (int64_t k = 0; k < n; ++k) out[first + k * inner] /= sum;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Value>> DecomposeSoftmax(GraphBuilder& b, const Node& node) {
  const DType dtype = node.results[0].dtype;
  const Value x = To(b, node.operands[0], Wide(dtype));
  const Ints axes = {node.Int("axis")};
  const Value shifted = b.Sub(x, b.Reduce(OpKind::kReduceMax, x, axes, true));
  const Value e = b.Unary(OpKind::kExp, shifted);
  const Value out = b.Div(e, b.Reduce(OpKind::kReduceSum, e, axes, true));
  return Lowered(b, {To(b, out, dtype)});
}

OpSample SampleSoftmax(Rng& rng) {
  Shape x;
  for (int64_t d = Draw(rng, 1, 4); d > 0; --d) x.push_back(Draw(rng, 1, d == 1 ? 69 : 6));
  const int64_t rank = static_cast<int64_t>(x.size());
  return {{FloatOperand(std::move(x), -8, 8)},
          {{"axis", Flip(rng) ? int64_t{-1} : Draw(rng, -rank, rank - 1)}}};
}

constexpr AttrSpec kSoftmaxAttrs[] = {{.name = "axis",
                                       .type = AttrType::kInt,
                                       .required = false,
                                       .fallback = int64_t{-1},
                                       .axis = AxisRule::kAxis,
                                       .doc = "sums to one along it"}};

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kLayerNorm,
     .name = "layer_norm",
     .claim = "LayerNorm",
     .op_class = OpClass::kNormalization,
     .min_operands = 3,
     .max_operands = 3,
     .attrs = kNormAttrs,
     .infer = InferLayerNorm,
     .evaluate = EvaluateNorm<true>,
     .decompose = DecomposeNorm<true>,
     .sample = SampleLayerNorm,
     .doc = "(x, gamma, beta): (x - mean)/√(variance + eps)·gamma + beta over the axes from `axis` "
            "on; gamma and beta have those dims; the variance is taken around the mean"},
    {.kind = OpKind::kRmsNorm,
     .name = "rms_norm",
     .claim = "RmsNorm",
     .op_class = OpClass::kNormalization,
     .min_operands = 2,
     .max_operands = 3,
     .attrs = kNormAttrs,
     .infer = InferRmsNorm,
     .evaluate = EvaluateNorm<false>,
     .decompose = DecomposeNorm<false>,
     .sample = SampleRmsNorm,
     .doc = "(x, gamma[, beta]): x/√(mean(x²) + eps)·gamma + beta over the axes from `axis` on"},
    {.kind = OpKind::kBatchNorm,
     .name = "batch_norm",
     .claim = "BatchNorm",
     .op_class = OpClass::kComposite,
     .min_operands = 5,
     .max_operands = 5,
     .attrs = std::span(&kEpsAttr, 1),
     .infer = InferBatchNorm,
     .evaluate = EvaluateBatchNorm,
     .decompose = DecomposeBatchNorm,
     .sample = SampleBatchNorm,
     .doc = "(x [n,c,..], scale [c], bias [c], mean [c], variance [c]): (x - mean)/√(variance + "
            "eps)·scale + bias for each channel"},
    {.kind = OpKind::kSoftmax,
     .name = "softmax",
     .claim = "Softmax",
     .op_class = OpClass::kNormalization,
     .min_operands = 1,
     .max_operands = 1,
     .attrs = kSoftmaxAttrs,
     .infer = InferSoftmax,
     .evaluate = EvaluateSoftmax,
     .decompose = DecomposeSoftmax,
     .sample = SampleSoftmax,
     .doc = "(x): exp(x - max)/Σ exp(x - max) along `axis`"},
};

}  // namespace

absl::Status InferLayerNorm(InferContext& ctx) {
  RLX_ASSIGN(const Shape tail, NormalizedShape(ctx));
  RLX_TRY(RequireShape(ctx, 1, "gamma", tail));
  RLX_TRY(RequireShape(ctx, 2, "beta", tail));
  ctx.results = {ctx.operands[0]};
  return absl::OkStatus();
}

absl::Status InferRmsNorm(InferContext& ctx) {
  RLX_ASSIGN(const Shape tail, NormalizedShape(ctx));
  RLX_TRY(RequireShape(ctx, 1, "gamma", tail));
  if (ctx.operands.size() > 2) RLX_TRY(RequireShape(ctx, 2, "beta", tail));
  ctx.results = {ctx.operands[0]};
  return absl::OkStatus();
}

void NormalizeRows(const EvalTensor& x, const EvalTensor& gamma, const EvalTensor* beta, double eps,
                   bool centred, EvalTensor& out) {
  const int64_t width = gamma.size();
  for (int64_t first = 0; first < x.size(); first += width) {
    double mean = 0, square = 0;
    for (int64_t k = 0; centred && k < width; ++k) mean += x.f[first + k];
    mean /= static_cast<double>(width);
    for (int64_t k = 0; k < width; ++k) square += std::pow(x.f[first + k] - mean, 2);
    const double scale = 1 / std::sqrt(square / static_cast<double>(width) + eps);
    for (int64_t k = 0; k < width; ++k) {
      out.f[first + k] = (x.f[first + k] - mean) * scale * gamma.f[k] + (beta ? beta->f[k] : 0);
    }
  }
}

std::span<const OpInfo> NormalizationOps() { return kTable; }

}  // namespace rlx
