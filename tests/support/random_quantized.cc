// SPDX-License-Identifier: Apache-2.0
// Steps of quantize and dequantize nodes: pairs that cancel, and products between codes. Scales are
// powers of two and sums small, so that floats and integers compute the same numbers.
#include <cmath>

#include "tests/support/graphs.h"
#include "tests/support/random_draft.h"

namespace rlx::test {
namespace {

struct Numbers {
  std::vector<double> scales;
  std::vector<int64_t> zeros;
  std::optional<int64_t> axis = {};
};

double DrawScale(Draft& g) { return std::ldexp(1.0, static_cast<int>(g.Draw(-6, -3))); }

Numbers DrawNumbers(Draft& g) { return {{DrawScale(g)}, {g.Draw(-20, 20)}}; }

std::vector<Attr> Attrs(const Numbers& numbers, DType to) {
  std::vector<Attr> attrs = {
      {"scales", numbers.scales}, {"zero_points", numbers.zeros}, {"to", to}};
  if (numbers.axis) attrs.push_back({"axis", *numbers.axis});
  return attrs;
}

Value Quantize(Draft& g, Value x, const Numbers& numbers, DType to = DType::kI8) {
  return g.b.Emit(OpKind::kQuantize, {x}, Attrs(numbers, to));
}

Value Dequantize(Draft& g, Value q, const Numbers& numbers) {
  return g.b.Emit(OpKind::kDequantize, {q}, Attrs(numbers, g.options.dtype));
}

// Something that moves elements, or relu.
Value Moved(Draft& g, Value x) {
  const Shape shape = g.ShapeOf(x);
  switch (g.Draw(0, 4)) {
    case 0:
      return g.b.Transpose(x, {1, 0, 2});
    case 1:
      return g.b.Narrow(x, 2, 1, g.LastExtent(x) - 1);
    case 2:
      return g.b.Reshape(x, {shape[0] * shape[1], shape[2]});
    case 3:
      return g.b.Concat({x, x}, 2);
    default:
      return g.b.Unary(OpKind::kRelu, x);
  }
}

void PairStep(Draft& g, Value x) {
  const Numbers numbers = DrawNumbers(g);
  const DType code = g.Pick({DType::kI8, DType::kU8});
  Value real = Dequantize(g, Quantize(g, x, numbers, code), numbers);
  if (g.Draw(0, 2) > 0) real = Moved(g, real);
  if (g.Draw(0, 5) == 0) g.Keep(real, 4);  // someone else reads it
  const Numbers after = g.Draw(0, 4) == 0 ? DrawNumbers(g) : numbers;
  g.Keep(Dequantize(g, Quantize(g, real, after, code), after), 9);
}

struct Weights {
  Value real;
  Numbers numbers;
};

// Constant codes of this shape, scaled as a whole or along `axis`.
Weights DrawWeights(Draft& g, Shape shape, int64_t axis) {
  Weights out{{}, {{DrawScale(g)}, {g.Flip() ? 0 : g.Draw(-2, 2)}}};
  if (g.Flip()) {
    const auto n = static_cast<size_t>(shape[static_cast<size_t>(axis)].value());
    out.numbers = {{}, std::vector<int64_t>(n, out.numbers.zeros[0]), axis};
    for (size_t c = 0; c < n; ++c) out.numbers.scales.push_back(DrawScale(g));
  }
  const Value codes = g.b.Constant(RandomTensor({DType::kI8, std::move(shape)}, -4, 4, g.rng));
  out.real = Dequantize(g, codes, out.numbers);
  return out;
}

// An i32 bias at the products' scale, or at another.
Value Bias(Draft& g, double x_scale, const Numbers& w, int64_t n) {
  Numbers numbers{w.scales, std::vector<int64_t>(w.scales.size(), 0), {}};
  if (w.axis) numbers.axis = 0;
  const double factor = g.Draw(0, 5) == 0 ? 2 : 1;
  for (double& scale : numbers.scales) scale *= x_scale * factor;
  const Value codes = g.b.Constant(RandomTensor({DType::kI32, {n}}, -50, 50, g.rng));
  return Dequantize(g, codes, numbers);
}

void Finish(Draft& g, Value sum) {
  Numbers out{{DrawScale(g) * 2}, {g.Draw(-20, 20)}};
  if (g.Flip()) {
    sum = g.b.Unary(OpKind::kRelu, sum);
    if (g.Flip()) out.zeros = {-128};
  }
  if (g.Draw(0, 7) == 0) g.Keep(sum, 64);  // someone else reads it
  Value y = Dequantize(g, Quantize(g, sum, out), out);
  if (g.b.type(y).rank() == 4) {
    const Shape shape = g.ShapeOf(y);
    y = g.b.Reshape(y, {shape[0], shape[1] * shape[2], shape[3]});
  }
  g.Keep(y, 37);
}

void MatMulStep(Draft& g, Value x) {
  const Numbers numbers = DrawNumbers(g);
  const int64_t n = g.Draw(1, 7);
  const Value codes = Quantize(g, x, numbers);
  const Weights w = DrawWeights(g, {g.LastExtent(x), n}, 1);
  Value sum = g.b.MatMul(Dequantize(g, codes, numbers), w.real);
  if (g.Flip()) sum = g.b.Add(sum, Bias(g, numbers.scales[0], w.numbers, n));
  Finish(g, sum);
}

void ConvStep(Draft& g, Value x) {
  const Shape shape = g.ShapeOf(x);
  const Numbers numbers = DrawNumbers(g);
  const int64_t n = g.Draw(1, 3);
  const Value codes = g.b.Reshape(Quantize(g, x, numbers), {shape[0], 1, shape[1], shape[2]});
  const Weights w = DrawWeights(g, {n, 1, g.Draw(1, 2), g.Draw(1, 3)}, 0);
  const std::vector<int64_t> ones = {1, 1};
  std::vector<Value> operands = {Dequantize(g, codes, numbers), w.real};
  if (g.Draw(0, 2) == 0) {  // its own bias, that some exporters leave real
    operands.push_back(g.Flip() ? Bias(g, numbers.scales[0], w.numbers, n) : g.Param({n}));
  }
  Value sum = g.b.Emit(OpKind::kConv, std::move(operands),
                       {{"strides", ones},
                        {"pads", std::vector<int64_t>(4, g.Draw(0, 1))},
                        {"dilations", ones},
                        {"groups", int64_t{1}}});
  if (g.Flip())
    sum = g.b.Add(sum, g.b.Reshape(Bias(g, numbers.scales[0], w.numbers, n), {n, 1, 1}));
  Finish(g, sum);
}

// Floats by codes: the weights stay packed.
void WeightStep(Draft& g) {
  const Draft::Item x = g.Sequence();
  const int64_t k = g.LastExtent(x.value), n = g.Flip() ? k : g.Draw(1, 7);
  const bool turned = g.Flip();
  const Weights w = turned ? DrawWeights(g, {n, k}, g.Draw(0, 7) == 0 ? 1 : 0)
                           : DrawWeights(g, {k, n}, g.Draw(0, 7) == 0 ? 0 : 1);
  Value real = turned ? g.b.Transpose(w.real, {1, 0}) : w.real;
  if (!turned && g.Draw(0, 2) == 0) real = g.b.Transpose(real, {0, 1});  // moves nothing
  if (g.Draw(0, 5) == 0) g.Keep(real, 1);                                // someone else reads it
  g.Keep(g.b.MatMul(x.value, real), std::sqrt(k) * x.bound + 1);
}

}  // namespace

void QuantizedStep(Draft& g) {
  const bool wide = g.options.dtype == DType::kF32 || g.options.dtype == DType::kF64;
  if (!wide || g.options.smooth) return;
  const Value x = g.leaves[0];
  const bool is_static = g.b.type(x).is_static();
  switch (g.Draw(0, 3)) {
    case 0:
      return PairStep(g, x);
    case 1:
      return MatMulStep(g, x);
    case 2:
      return is_static ? ConvStep(g, x) : MatMulStep(g, x);
    default:
      return WeightStep(g);
  }
}

}  // namespace rlx::test
