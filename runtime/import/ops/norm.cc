// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"

namespace rlx::onnx {
namespace {

using Axes = std::vector<int64_t>;

Axes From(int64_t first, int rank) {
  Axes axes;
  for (int64_t i = first; i < rank; ++i) axes.push_back(i);
  return axes;
}

Value MeanOf(GraphBuilder& b, Value x, const Axes& axes) {
  return b.Reduce(OpKind::kReduceMean, x, axes, true);
}

struct Moments {
  Value mean, centred, inverse;  // 1/√(variance + eps)
};
Moments MomentsOf(GraphBuilder& b, Value x, const Axes& axes, double eps) {
  Moments m;
  m.mean = MeanOf(b, x, axes);
  m.centred = b.Sub(x, m.mean);
  const Value variance = MeanOf(b, b.Mul(m.centred, m.centred), axes);
  m.inverse = b.Unary(OpKind::kRsqrt, b.Add(variance, Like(b, x, eps)));
  return m;
}

// --- Over the last axes ---

// gamma or beta with exactly those extents.
Value Spread(GraphBuilder& b, Value v, const Shape& shape) {
  return ShapeOf(b, v) == shape ? v : b.Expand(v, shape);
}

Results LayerNorm(OpNode& n) {
  GraphBuilder& b = n.b;
  const int rank = n.rank(0);
  RLX_ASSIGN(const int64_t axis, n.Axis(n.Int("axis", -1), rank));
  const double eps = n.Float("epsilon", 1e-5);
  const Value x = n.In(0);
  const Shape over(n.shape(0).begin() + axis, n.shape(0).end());
  const DType dtype = n.dtype(0);
  const Value gamma = Spread(b, To(b, n.In(1), dtype), over);
  const Value beta =
      n.Has(2) ? Spread(b, To(b, n.In(2), dtype), over) : b.Expand(Like(b, x, 0), over);
  std::vector<Value> out = {
      b.Emit(OpKind::kLayerNorm, {x, gamma, beta}, {{"axis", axis}, {"eps", eps}})};
  if (n.Wants(1) || n.Wants(2)) {
    const Moments m = MomentsOf(b, To(b, x, Wide(dtype)), From(axis, rank), eps);
    out.insert(out.end(), {m.mean, m.inverse});
  }
  return out;
}

Results RmsNorm(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const int64_t axis, n.Axis(n.Int("axis", -1), n.rank(0)));
  const Shape over(n.shape(0).begin() + axis, n.shape(0).end());
  const Value gamma = Spread(b, To(b, n.In(1), n.dtype(0)), over);
  return One(b.Emit(OpKind::kRmsNorm, {n.In(0), gamma},
                    {{"axis", axis}, {"eps", n.Float("epsilon", 1e-5)}}));
}

Results SkipNorm(OpNode& n, bool rms) {
  GraphBuilder& b = n.b;
  if (n.rank(0) == 0) return InvalidArgument("operand 0 is a scalar");
  const int gamma = 2, beta = rms ? -1 : 3, bias = rms ? 3 : 4;
  Value sum = b.Add(n.In(0), n.In(1));
  if (n.Has(bias)) sum = b.Add(sum, n.In(bias));
  std::vector<Value> operands = {sum, n.In(gamma)};
  if (!rms)
    operands.push_back(n.Has(beta) ? n.In(beta) : b.Expand(Like(b, sum, 0), {n.shape(0).back()}));
  const Value out = b.Emit(rms ? OpKind::kRmsNorm : OpKind::kLayerNorm, operands,
                           {{"axis", int64_t{-1}}, {"eps", n.Float("epsilon", 1e-12)}});
  if (n.Wants(1) || n.Wants(2))
    return Unimplemented("results 1 and 2 (mean, inverse deviation) are for training");
  return std::vector<Value>{out, {}, {}, sum};
}
Results SkipLayerNorm(OpNode& n) { return SkipNorm(n, false); }
Results SkipRmsNorm(OpNode& n) { return SkipNorm(n, true); }

// --- By channel ---

absl::Status NeedChannels(const OpNode& n) {
  if (n.rank(0) >= 2) return absl::OkStatus();
  return InvalidArgument("operand 0 has rank ", n.rank(0), ", less than 2");
}

Results TrainingBatchNorm(OpNode& n) {
  GraphBuilder& b = n.b;
  const int rank = n.rank(0);
  Axes axes = From(0, rank);
  axes.erase(axes.begin() + 1);
  const Value x = n.In(0), mean = MeanOf(b, x, axes), centred = b.Sub(x, mean);
  const Value variance = MeanOf(b, b.Mul(centred, centred), axes);
  const Value inverse =
      b.Unary(OpKind::kRsqrt, b.Add(variance, Like(b, x, n.Float("epsilon", 1e-5))));
  const Value scaled = b.Mul(b.Mul(centred, inverse), Along(b, n.In(1), 1, rank));
  const double momentum = n.Float("momentum", 0.9);
  const auto running = [&](Value old, Value now) {
    now = b.Reshape(now, {n.shape(0)[1]});
    return b.Add(b.Mul(old, Like(b, old, momentum)), b.Mul(now, Like(b, now, 1 - momentum)));
  };
  return std::vector<Value>{b.Add(scaled, Along(b, n.In(2), 1, rank)), running(n.In(3), mean),
                            running(n.In(4), variance)};
}

Results BatchNorm(OpNode& n) {
  RLX_TRY(NeedChannels(n));
  if (n.Int("spatial", 1) == 0) return Unimplemented("attribute \"spatial\" has to be 1");
  if (n.Int("training_mode", 0) != 0) return TrainingBatchNorm(n);
  std::vector<Value> operands = {n.In(0)};
  for (int i = 1; i < 5; ++i) operands.push_back(To(n.b, n.In(i), n.dtype(0)));
  return One(n.b.Emit(OpKind::kBatchNorm, operands, {{"eps", n.Float("epsilon", 1e-5)}}));
}

Results InstanceNorm(OpNode& n) {
  RLX_TRY(NeedChannels(n));
  GraphBuilder& b = n.b;
  const int rank = n.rank(0);
  const Moments m = MomentsOf(b, n.In(0), From(2, rank), n.Float("epsilon", 1e-5));
  const Value scaled = b.Mul(b.Mul(m.centred, m.inverse), Along(b, n.In(1), 1, rank));
  return One(b.Add(scaled, Along(b, n.In(2), 1, rank)));
}

Results GroupNorm(OpNode& n) {
  RLX_TRY(NeedChannels(n));
  GraphBuilder& b = n.b;
  const Shape& s = n.shape(0);
  const int64_t groups = n.Int("num_groups", 0);
  if (groups < 1 || !s[1].is_static() || s[1].value() % groups != 0)
    return InvalidArgument("num_groups is ", groups, " of ", s[1], " channels");
  const int64_t each = s[1].value() / groups;
  const Value x = b.Reshape(n.In(0), {s[0], groups, Dim(each) * Product(s, 2, s.size())});
  const Moments m = MomentsOf(b, x, {2}, n.Float("epsilon", 1e-5));
  const Value normal = b.Reshape(b.Mul(m.centred, m.inverse), s);
  // Before opset 21 scale and bias are those of groups.
  const auto by_channel = [&](Value v) {
    if (ShapeOf(b, v) == Shape{groups} && each > 1)
      v = b.Reshape(b.Expand(b.Reshape(v, {groups, 1}), {groups, each}), {s[1]});
    return Along(b, v, 1, n.rank(0));
  };
  return One(b.Add(b.Mul(normal, by_channel(n.In(1))), by_channel(n.In(2))));
}

Results MeanVariance(OpNode& n) {
  Axes axes = n.HasAttr("axes") ? n.IntList("axes") : Axes{0, 2, 3};
  RLX_ASSIGN(axes, n.Axes(axes, n.rank(0)));
  GraphBuilder& b = n.b;
  const Value x = n.In(0), centred = b.Sub(x, MeanOf(b, x, axes));
  const Value deviation = b.Unary(OpKind::kSqrt, MeanOf(b, b.Mul(centred, centred), axes));
  return One(b.Div(centred, b.Add(deviation, Like(b, x, 1e-9))));
}

Results LpNorm(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const int64_t axis, n.Axis(n.Int("axis", -1), n.rank(0)));
  const int64_t p = n.Int("p", 2);
  if (p != 1 && p != 2) return Unimplemented("attribute \"p\" is ", p, "; supported are 1, 2");
  const Value x = n.In(0);
  const Value powers = p == 1 ? b.Unary(OpKind::kAbs, x) : b.Mul(x, x);
  Value norm = b.Reduce(OpKind::kReduceSum, powers, {axis}, true);
  if (p == 2) norm = b.Unary(OpKind::kSqrt, norm);
  const Value zero = Like(b, x, 0);
  return One(b.Where(b.Emit(OpKind::kEq, {norm, zero}), zero, b.Div(x, norm)));
}

Results Lrn(OpNode& n) {
  RLX_TRY(NeedChannels(n));
  GraphBuilder& b = n.b;
  const int64_t size = n.Int("size", 0);
  if (size < 1 || size > 1 << 16) return InvalidArgument("attribute \"size\" is ", size);
  const Value x = n.In(0), square = b.Mul(x, x);
  const int rank = n.rank(0);
  Axes before(static_cast<size_t>(rank), 0), after = before;
  before[1] = (size - 1) / 2;
  after[1] = size - 1 - before[1];
  const Value padded = PadWith(b, square, before, after, Like(b, x, 0));
  if (!n.shape(0)[1].is_static()) return Unimplemented("symbolic channels");
  Value sum;
  for (int64_t i = 0; i < size; ++i) {
    const Value part = b.Narrow(padded, 1, i, n.shape(0)[1].value());
    sum = i == 0 ? part : b.Add(sum, part);
  }
  const double alpha = n.Float("alpha", 0.0001) / static_cast<double>(size);
  const Value base = b.Add(b.Mul(sum, Like(b, x, alpha)), Like(b, x, n.Float("bias", 1)));
  return One(b.Div(x, b.Emit(OpKind::kPow, {base, Like(b, x, n.Float("beta", 0.75))})));
}

// --- Softmax and its like ---

// Before opset 13 all axes from `axis` on are one.
template <class Emit>
Results Softened(OpNode& n, Emit emit) {
  const int rank = n.rank(0);
  GraphBuilder& b = n.b;
  if (n.opset >= 13) {
    RLX_ASSIGN(const int64_t axis, n.Axis(n.Int("axis", -1), rank));
    return One(emit(n.In(0), axis));
  }
  RLX_ASSIGN(const int64_t axis, n.Axis(n.Int("axis", 1), rank));
  if (axis == rank - 1) return One(emit(n.In(0), axis));
  const Value flat = Flatten(b, n.In(0), static_cast<int>(axis));
  return One(b.Reshape(emit(flat, axis), n.shape(0)));
}

Results Softmax(OpNode& n) {
  return Softened(n, [&](Value x, int64_t axis) { return n.b.Softmax(x, axis); });
}

Results LogSoftmax(OpNode& n) {
  GraphBuilder& b = n.b;
  return Softened(n, [&](Value x, int64_t axis) {
    const Value shifted = b.Sub(x, b.Reduce(OpKind::kReduceMax, x, {axis}, true));
    const Value sum = b.Reduce(OpKind::kReduceSum, b.Unary(OpKind::kExp, shifted), {axis}, true);
    return b.Sub(shifted, b.Unary(OpKind::kLog, sum));
  });
}

Results Hardmax(OpNode& n) {
  GraphBuilder& b = n.b;
  return Softened(n, [&](Value x, int64_t axis) {
    const int rank = b.type(x).rank();
    const Value place = Second(b.EmitAll(OpKind::kTopK, {x}, {{"k", int64_t{1}}, {"axis", axis}}));
    const Dim extent = ShapeOf(b, x)[static_cast<size_t>(axis)];
    const Value hit = b.Emit(OpKind::kEq, {place, Along(b, EmitIota(b, extent), axis, rank)});
    return b.Cast(hit, b.type(x).dtype);
  });
}

constexpr OpRow kRows[] = {
    {kOnnx, "BatchNormalization", 7, INT32_MAX, 5, 5, "epsilon momentum spatial training_mode",
     BatchNorm},
    {kOnnx, "GroupNormalization", 18, INT32_MAX, 3, 3, "epsilon num_groups stash_type", GroupNorm},
    {kOnnx, "Hardmax", 7, INT32_MAX, 1, 1, "axis", Hardmax},
    {kOnnx, "InstanceNormalization", 7, INT32_MAX, 3, 3, "epsilon", InstanceNorm},
    {kOnnx, "LRN", 7, INT32_MAX, 1, 1, "alpha beta bias size", Lrn},
    {kOnnx, "LayerNormalization", 1, INT32_MAX, 2, 3, "axis epsilon stash_type", LayerNorm},
    {kOnnx, "LogSoftmax", 7, INT32_MAX, 1, 1, "axis", LogSoftmax},
    {kOnnx, "LpNormalization", 7, INT32_MAX, 1, 1, "axis p", LpNorm},
    {kOnnx, "MeanVarianceNormalization", 9, INT32_MAX, 1, 1, "axes", MeanVariance},
    {kOnnx, "RMSNormalization", 23, INT32_MAX, 2, 2, "axis epsilon stash_type", RmsNorm},
    {kOnnx, "SimplifiedLayerNormalization", 1, INT32_MAX, 2, 2, "axis epsilon stash_type", RmsNorm,
     nullptr, Carries::kNo, "as ONNX Runtime writes RMS norms"},
    {kOnnx, "Softmax", 7, INT32_MAX, 1, 1, "axis", Softmax},
    {kMicrosoft, "LayerNormalization", 1, INT32_MAX, 2, 3, "axis epsilon stash_type", LayerNorm},
    {kMicrosoft, "SimplifiedLayerNormalization", 1, INT32_MAX, 2, 2, "axis epsilon stash_type",
     RmsNorm},
    {kMicrosoft, "SkipLayerNormalization", 1, INT32_MAX, 3, 5, "epsilon", SkipLayerNorm},
    {kMicrosoft, "SkipSimplifiedLayerNormalization", 1, INT32_MAX, 3, 4, "epsilon", SkipRmsNorm},
};

}  // namespace

std::span<const OpRow> NormOps() { return kRows; }

}  // namespace rlx::onnx
