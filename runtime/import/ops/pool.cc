// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <numeric>

#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"
#include "runtime/import/ops/window.h"

namespace rlx::onnx {
namespace {

using Ints = std::vector<int64_t>;

// A pooling's windows. With ceil_mode, padding at the end makes room for the last, partial one.
struct Pooling {
  Ints kernel;
  Window window;
  Ints more;  // of the end pads: how much ceil_mode added
};

absl::StatusOr<Pooling> PoolingOf(const OpNode& n) {
  Pooling out{.kernel = n.IntList("kernel_shape")};
  const size_t spatial = out.kernel.size();
  if (spatial == 0) return InvalidArgument("attribute \"kernel_shape\" is not given");
  RLX_ASSIGN(out.kernel, PositiveList(n, "kernel_shape", spatial));
  RLX_ASSIGN(out.window, WindowOf(n, out.kernel));
  out.more.assign(spatial, 0);
  if (n.Int("ceil_mode", 0) == 0) return out;
  for (size_t i = 0; i < spatial; ++i) {
    const Dim& extent = n.shape(0)[i + 2];
    if (!extent.is_static()) return Unimplemented("ceil_mode of extent ", extent);
    const int64_t stride = out.window.strides[i];
    const int64_t reach = (out.kernel[i] - 1) * out.window.dilations[i] + 1;
    const int64_t begin = out.window.pads[i], end = out.window.pads[i + spatial];
    const int64_t room = extent.value() + begin + end - reach;
    if (room < 0 || room % stride == 0) continue;
    const int64_t last = (room / stride + 1) * stride;  // where the partial window begins
    if (last < extent.value() + begin) out.more[i] = stride - room % stride;
  }
  return out;
}

bool Dilated(const Pooling& p) {
  return std::any_of(p.window.dilations.begin(), p.window.dilations.end(),
                     [](int64_t d) { return d != 1; });
}

// x with the padding written out, and every window's elements as a new last axis:
// [n, c, steps…, kernel elements].
absl::StatusOr<Value> Unfold(OpNode& n, const Pooling& p, Value x, double fill) {
  GraphBuilder& b = n.b;
  const size_t spatial = p.kernel.size();
  Ints before(spatial + 2, 0), after = before;
  for (size_t i = 0; i < spatial; ++i) {
    before[i + 2] = p.window.pads[i];
    after[i + 2] = p.window.pads[i + spatial] + p.more[i];
  }
  x = PadWith(b, x, before, after, Like(b, x, fill));
  // Axis by axis: [.., extent, ..] → [.., steps, .., kernel], kernels last, in order.
  for (size_t i = 0; i < spatial; ++i) {
    const Dim extent = ShapeOf(b, x).at(i + 2);
    if (!extent.is_static()) return Unimplemented("windows over extent ", extent);
    const int64_t reach = (p.kernel[i] - 1) * p.window.dilations[i] + 1;
    if (extent.value() < reach) return InvalidArgument("axis ", i + 2, " is less than the kernel");
    const int64_t steps = (extent.value() - reach) / p.window.strides[i] + 1;
    if (steps > kMaxPlaces / p.kernel[i]) return Unimplemented("windows over extent ", extent);
    Ints places;
    for (int64_t s = 0; s < steps; ++s)
      for (int64_t k = 0; k < p.kernel[i]; ++k)
        places.push_back(s * p.window.strides[i] + k * p.window.dilations[i]);
    const Value index = b.Constant(HostTensor::FromInts(DType::kI64, {steps, p.kernel[i]}, places));
    x = MoveLast(b, b.Gather(x, index, static_cast<int64_t>(i) + 2), static_cast<int64_t>(i) + 3);
  }
  return Flatten(b, x, static_cast<int>(spatial) + 2);
}

absl::StatusOr<Value> Pool(OpNode& n, const Pooling& p, Value x, std::string_view mode,
                           bool count_padding) {
  GraphBuilder& b = n.b;
  const size_t spatial = p.kernel.size();
  const bool maximum = mode == "max";
  bool fits = !Dilated(p) && IsFloat(b.type(x).dtype);
  Ints pads = p.window.pads;
  for (size_t i = 0; i < spatial; ++i) {
    pads[i + spatial] += p.more[i];
    fits = fits && pads[i] < p.kernel[i] && pads[i + spatial] < p.kernel[i];
    // What ceil_mode adds is no padding that counts.
    fits = fits && (maximum || !count_padding || p.more[i] == 0);
  }
  if (fits)
    return b.Emit(OpKind::kPool, {x},
                  {{"mode", std::string(mode)},
                   {"kernel", p.kernel},
                   {"strides", p.window.strides},
                   {"pads", pads},
                   {"count_include_pad", count_padding}});
  const auto last = static_cast<int64_t>(spatial) + 2;
  if (maximum) {
    const double least = IsFloat(b.type(x).dtype) ? -INFINITY
                         : Info(b.type(x).dtype).is_signed
                             ? -std::ldexp(1.0, 8 * ByteWidth(b.type(x).dtype) - 1)
                             : 0;
    RLX_ASSIGN(const Value windows, Unfold(n, p, x, least));
    return b.Reduce(OpKind::kReduceMax, windows, {last}, false);
  }
  RLX_ASSIGN(const Value windows, Unfold(n, p, x, 0));
  const Value sum = b.Reduce(OpKind::kReduceSum, windows, {last}, false);
  // How many elements of each window count.
  Shape ones_shape = ShapeOf(b, x);
  ones_shape[0] = 1;
  ones_shape[1] = 1;
  Value ones = b.Expand(Like(b, x, 1), ones_shape);
  Pooling counted = p;
  if (count_padding) {
    Ints before(spatial + 2, 0), after = before;
    for (size_t i = 0; i < spatial; ++i) {
      before[i + 2] = p.window.pads[i];
      after[i + 2] = p.window.pads[i + spatial];
    }
    ones = PadWith(b, ones, before, after, Like(b, x, 1));
    counted.window.pads.assign(2 * spatial, 0);
  }
  RLX_ASSIGN(const Value present, Unfold(n, counted, ones, 0));
  return b.Div(sum, b.Reduce(OpKind::kReduceSum, present, {last}, false));
}

Results AveragePool(OpNode& n) {
  RLX_ASSIGN(const Pooling p, PoolingOf(n));
  RLX_ASSIGN(const Value out, Pool(n, p, n.In(0), "mean", n.Int("count_include_pad", 0) != 0));
  return One(out);
}

// Where each maximum stands in x as one line.
absl::StatusOr<Value> PlacesOfMaxima(OpNode& n, const Pooling& p) {
  GraphBuilder& b = n.b;
  const size_t spatial = p.kernel.size();
  const Shape& s = n.shape(0);
  const auto last = static_cast<int64_t>(spatial) + 2;
  RLX_ASSIGN(const Value windows, Unfold(n, p, To(b, n.In(0), DType::kF32), -INFINITY));
  const Value best =
      Second(b.EmitAll(OpKind::kTopK, {windows}, {{"k", int64_t{1}}, {"axis", last}}));
  // The same windows over the numbers of the elements.
  Shape plane(s.begin() + 2, s.end());
  const Dim count = Product(plane, 0, plane.size());
  if (!count.is_static()) return Unimplemented("indices of a symbolic image");
  if (n.Int("storage_order", 0) != 0 && spatial != 2)
    return Unimplemented("storage_order 1 of ", spatial, " spatial axes");
  Shape one_plane = plane;
  Value number = EmitIota(b, count);
  if (n.Int("storage_order", 0) != 0)
    number = b.Transpose(b.Reshape(number, {plane[1], plane[0]}), {1, 0});
  one_plane.insert(one_plane.begin(), 2, Dim(1));
  RLX_ASSIGN(Value numbers, Unfold(n, p, b.Reshape(number, one_plane), 0));
  Shape spread = ShapeOf(b, windows);
  const Dim width = spread.back();
  const Dim rows = Product(spread, 0, spread.size() - 1);
  numbers = b.Reshape(b.Expand(numbers, spread), {rows * width});
  const Value row = b.Mul(EmitIota(b, rows), EmitDim(b, width, DType::kI64));
  Value out = b.Gather(numbers, b.Add(row, b.Reshape(best, {rows})));
  spread.pop_back();
  out = b.Reshape(out, spread);
  // Images follow each other.
  const int rank = n.rank(0);
  Value image = b.Reshape(EmitIota(b, s[0] * s[1]), {s[0], s[1]});
  Shape lifted(static_cast<size_t>(rank), Dim(1));
  lifted[0] = s[0];
  lifted[1] = s[1];
  image = b.Mul(b.Reshape(image, lifted), EmitDim(b, count, DType::kI64));
  return b.Add(out, image);
}

Results MaxPool(OpNode& n) {
  RLX_ASSIGN(const Pooling p, PoolingOf(n));
  RLX_ASSIGN(const Value out, Pool(n, p, n.In(0), "max", false));
  if (!n.Wants(1)) return One(out);
  RLX_ASSIGN(const Value places, PlacesOfMaxima(n, p));
  return std::vector<Value>{out, places};
}

Results LpPool(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const Pooling p, PoolingOf(n));
  const auto power = static_cast<double>(n.Int("p", 2));
  const Value x = b.Unary(OpKind::kAbs, n.In(0));
  const Value powers = power == 1   ? x
                       : power == 2 ? b.Mul(x, x)
                                    : b.Emit(OpKind::kPow, {x, Like(b, x, power)});
  RLX_ASSIGN(const Value windows, Unfold(n, p, powers, 0));
  const auto last = static_cast<int64_t>(p.kernel.size()) + 2;
  const Value sum = b.Reduce(OpKind::kReduceSum, windows, {last}, false);
  if (power == 1) return One(sum);
  if (power == 2) return One(b.Unary(OpKind::kSqrt, sum));
  return One(b.Emit(OpKind::kPow, {sum, Like(b, sum, 1 / power)}));
}

Ints Spatial(const OpNode& n) {
  Ints axes;
  for (int i = 2; i < n.rank(0); ++i) axes.push_back(i);
  return axes;
}

template <OpKind kKind>
Results Global(OpNode& n) {
  if (n.rank(0) < 3) return InvalidArgument("operand 0 has rank ", n.rank(0), ", less than 3");
  return One(n.b.Reduce(kKind, n.In(0), Spatial(n), true));
}

Results GlobalLp(OpNode& n) {
  if (n.rank(0) < 3) return InvalidArgument("operand 0 has rank ", n.rank(0), ", less than 3");
  GraphBuilder& b = n.b;
  const auto power = static_cast<double>(n.Int("p", 2));
  const Value x = b.Unary(OpKind::kAbs, n.In(0));
  const Value sum =
      b.Reduce(OpKind::kReduceSum, b.Emit(OpKind::kPow, {x, Like(b, x, power)}), Spatial(n), true);
  return One(b.Emit(OpKind::kPow, {sum, Like(b, sum, 1 / power)}));
}

// Puts each element at its place of an image of zeros.
Results MaxUnpool(OpNode& n) {
  GraphBuilder& b = n.b;
  const size_t spatial = static_cast<size_t>(n.rank(0)) - 2;
  const Ints kernel = n.IntList("kernel_shape");
  if (n.rank(0) < 3 || kernel.size() != spatial)
    return InvalidArgument("attribute \"kernel_shape\" has ", kernel.size(), " entries");
  RLX_ASSIGN(const Window w, WindowOf(n, kernel));
  Shape natural(n.shape(0).begin(), n.shape(0).begin() + 2);
  for (size_t i = 0; i < spatial; ++i)
    natural.push_back((n.shape(0)[i + 2] - Dim(1)) * Dim(w.strides[i]) +
                      Dim(kernel[i] - w.pads[i] - w.pads[i + spatial]));
  Shape wanted = natural;
  if (n.Has(2)) {
    RLX_ASSIGN(wanted, n.Extents(2, "output_shape"));
  }
  if (wanted.size() != natural.size())
    return InvalidArgument("output_shape has ", wanted.size(), " extents");
  const Dim count = Product(n.shape(0), 0, n.shape(0).size());
  const Value updates = b.Reshape(n.In(0), {count, Dim(1)});
  // Places count in the natural image; a larger one has it in its first corner.
  const Value out = b.Emit(OpKind::kScatterAdd, {updates, b.Reshape(n.In(1), {count})},
                           {{"rows", Shape{Product(natural, 0, natural.size())}}});
  Value image = b.Reshape(out, natural);
  Ints before(wanted.size(), 0), after = before;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const Dim more = wanted[i] - natural[i];
    if (!more.is_static()) return Unimplemented("a symbolic output shape");
    after[i] = more.value();
  }
  return One(PadWith(b, image, before, after, Like(b, image, 0)));
}

constexpr std::string_view kPoolAttributes =
    "auto_pad ceil_mode dilations kernel_shape pads storage_order strides";

constexpr OpRow kRows[] = {
    {kOnnx, "AveragePool", 7, INT32_MAX, 1, 1,
     "auto_pad ceil_mode count_include_pad dilations kernel_shape pads strides", AveragePool},
    {kOnnx, "GlobalAveragePool", 7, INT32_MAX, 1, 1, "", Global<OpKind::kReduceMean>},
    {kOnnx, "GlobalLpPool", 7, INT32_MAX, 1, 1, "p", GlobalLp},
    {kOnnx, "GlobalMaxPool", 7, INT32_MAX, 1, 1, "", Global<OpKind::kReduceMax>},
    {kOnnx, "LpPool", 7, INT32_MAX, 1, 1,
     "auto_pad ceil_mode dilations kernel_shape p pads strides", LpPool},
    {kOnnx, "MaxPool", 7, INT32_MAX, 1, 1, kPoolAttributes, MaxPool},
    {kOnnx, "MaxUnpool", 9, INT32_MAX, 2, 3, "kernel_shape pads strides", MaxUnpool},
};

}  // namespace

std::span<const OpRow> PoolOps() { return kRows; }

}  // namespace rlx::onnx
