// SPDX-License-Identifier: Apache-2.0
// Features read at places between elements: of boxes, and by convolutions whose kernels a run
// bends.
#include <cmath>

#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"
#include "runtime/ir/ops/attention.h"

namespace rlx::onnx {
namespace {

// The elements before and after a place on one axis, and what each of them weighs. Indices are
// whole numbers as floats, inside of the axis.
struct Sides {
  Value index[2], weight[2];
};

// Images [n, c, h, w] as a table of pixels [n·h·w, c].
struct Pixels {
  Value table;
  Dim images, height, width;
};

Pixels PixelsOf(GraphBuilder& b, Value x) {
  const Shape s = ShapeOf(b, x);
  const Dim count = s[0] * s[2] * s[3];
  return {b.Reshape(b.Transpose(x, {0, 2, 3, 1}), {count, s[1]}), s[0], s[2], s[3]};
}

// Corner (i, j): its pixels times its weights, [places.., c]. `image` is whose each place is.
Value Corner(GraphBuilder& b, const Pixels& pixels, Value image, const Sides& y, const Sides& x,
             int i, int j) {
  const auto whole = [&](Value v) { return b.Cast(v, DType::kI64); };
  const auto size = [&](const Dim& d) { return EmitDim(b, d, DType::kI64); };
  const Value row = b.Add(b.Mul(image, size(pixels.height)), whole(y.index[i]));
  const Value place = b.Add(b.Mul(row, size(pixels.width)), whole(x.index[j]));
  Value weight = b.Mul(y.weight[i], x.weight[j]);
  Shape lifted = ShapeOf(b, weight);
  lifted.emplace_back(1);
  return b.Mul(b.Gather(pixels.table, place), b.Reshape(weight, std::move(lifted)));
}

Value Both(GraphBuilder& b, Value p, Value q) { return b.Emit(OpKind::kLogicalAnd, {p, q}); }

// --- RoiAlign ---

// Up to one element outside counts as the edge, what is further as nothing.
Sides EdgeSides(GraphBuilder& b, Value at, const Dim& extent) {
  const Value zero = Like(b, at, 0), one = Like(b, at, 1);
  const Value size = EmitDim(b, extent, b.type(at).dtype), last = b.Sub(size, one);
  const Value near =
      Both(b, b.Emit(OpKind::kGe, {at, Like(b, at, -1)}), b.Emit(OpKind::kLe, {at, size}));
  const Value inside = b.Emit(OpKind::kMin, {b.Max(at, zero), last});
  const Value low = b.Unary(OpKind::kFloor, inside), part = b.Sub(inside, low);
  const Value high = b.Emit(OpKind::kMin, {b.Add(low, one), last});
  return {{low, high}, {b.Where(near, b.Sub(one, part), zero), b.Where(near, part, zero)}};
}

struct RoiForm {
  int64_t height = 1, width = 1, samples = 1;
  double scale = 1;
  bool half_pixel = false, greatest = false;
};

absl::StatusOr<RoiForm> RoiFormOf(const OpNode& n) {
  RoiForm out{n.Int("output_height", 1), n.Int("output_width", 1), n.Int("sampling_ratio", 0),
              n.Float("spatial_scale", 1)};
  RLX_ASSIGN(const std::string mode, n.Choice("mode", "avg", {"avg", "max"}));
  RLX_ASSIGN(
      const std::string transform,
      n.Choice("coordinate_transformation_mode", n.opset < 16 ? "output_half_pixel" : "half_pixel",
               {"half_pixel", "output_half_pixel"}));
  out.greatest = mode == "max";
  out.half_pixel = transform == "half_pixel";
  if (out.samples < 1)
    return Unimplemented("sampling_ratio is ", out.samples,
                         ", which has a run decide how many samples there are; supported is 1 on");
  if (n.rank(0) != 4 || n.rank(1) != 2 || n.shape(1)[1] != Dim(4) || n.rank(2) != 1)
    return InvalidArgument("operands ", n.type(0), ", ", n.type(1), " and ", n.type(2),
                           " are not [n,c,h,w], [boxes,4] and [boxes]");
  for (const int64_t extent : {out.height, out.width, out.samples})
    if (extent < 1 || extent > 256) return Unimplemented("an output extent of ", extent);
  return out;
}

// Where the samples of each box lie on one axis: [boxes, outputs · samples].
Value SamplesOf(GraphBuilder& b, Value boxes, int64_t axis, const RoiForm& form, int64_t outputs) {
  const DType dtype = b.type(boxes).dtype;
  const auto edge = [&](int64_t column) {
    const Value raw = b.Mul(b.Narrow(boxes, 1, column, 1), b.Scalar(dtype, form.scale));
    return form.half_pixel ? b.Sub(raw, b.Scalar(dtype, 0.5)) : raw;
  };
  const Value from = edge(axis);
  Value length = b.Sub(edge(axis + 2), from);
  if (!form.half_pixel) length = b.Max(length, b.Scalar(dtype, 1));
  const Value bin = b.Div(length, b.Scalar(dtype, static_cast<double>(outputs)));
  std::vector<double> steps;  // in bins
  for (int64_t i = 0; i < outputs * form.samples; ++i)
    steps.push_back((static_cast<double>(i) + 0.5) / static_cast<double>(form.samples));
  const auto count = static_cast<int64_t>(steps.size());
  return b.Add(from, b.Mul(bin, b.Constant(HostTensor::FromDoubles(dtype, {1, count}, steps))));
}

Results RoiAlign(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const RoiForm form, RoiFormOf(n));
  const DType dtype = Wide(n.dtype(0));
  const Value boxes = To(b, n.In(1), dtype);
  const Dim count = n.shape(1)[0], channels = n.shape(0)[1];
  const int64_t rows = form.height * form.samples, columns = form.width * form.samples;
  Sides y = EdgeSides(b, SamplesOf(b, boxes, 1, form, form.height), n.shape(0)[2]);
  Sides x = EdgeSides(b, SamplesOf(b, boxes, 0, form, form.width), n.shape(0)[3]);
  for (int i = 0; i < 2; ++i) {
    for (Value* v : {&y.index[i], &y.weight[i]}) *v = b.Reshape(*v, {count, rows, 1});
    for (Value* v : {&x.index[i], &x.weight[i]}) *v = b.Reshape(*v, {count, 1, columns});
  }
  const Pixels pixels = PixelsOf(b, To(b, n.In(0), dtype));
  const Value image =
      b.Reshape(CheckedIndices(b, n.In(2), n.shape(0)[0], "RoiAlign"), {count, 1, 1});
  Value all;  // [boxes, rows, columns, c]
  for (int corner = 0; corner < 4; ++corner) {
    const Value part = Corner(b, pixels, image, y, x, corner / 2, corner % 2);
    if (corner == 0) {
      all = part;
    } else {
      all = form.greatest ? b.Max(all, part) : b.Add(all, part);
    }
  }
  all = b.Reshape(all, {count, form.height, form.samples, form.width, form.samples, channels});
  const OpKind fold = form.greatest ? OpKind::kReduceMax : OpKind::kReduceMean;
  const Value out = b.Transpose(b.Reduce(fold, all, {2, 4}, false), {0, 3, 1, 2});
  return One(To(b, out, n.dtype(0)));
}

// --- DeformConv ---

// Each side weighs nothing where it lies outside.
Sides ZeroSides(GraphBuilder& b, Value at, const Dim& extent) {
  const Value zero = Like(b, at, 0), one = Like(b, at, 1);
  const Value last = b.Sub(EmitDim(b, extent, b.type(at).dtype), one);
  const Value low = b.Unary(OpKind::kFloor, at), part = b.Sub(at, low);
  Sides out;
  for (int i = 0; i < 2; ++i) {
    const Value index = i == 0 ? low : b.Add(low, one);
    out.index[i] = b.Emit(OpKind::kMin, {b.Max(index, zero), last});
    const Value share = i == 0 ? b.Sub(one, part) : part;
    out.weight[i] = b.Where(b.Emit(OpKind::kEq, {out.index[i], index}), share, zero);
  }
  return out;
}

struct DeformForm {
  int64_t images, channels, outputs, kernel[2], steps[2], strides[2], pads[2], dilations[2];
  int64_t groups, bends;  // of channels that share weights, and offsets
  int64_t taps() const { return kernel[0] * kernel[1]; }
  int64_t places() const { return steps[0] * steps[1]; }
};

absl::StatusOr<DeformForm> DeformFormOf(const OpNode& n) {
  for (const int i : {0, 1, 2})
    if (n.rank(i) != 4 || !n.type(i).NumElements() || *n.type(i).NumElements() > (int64_t{1} << 40))
      return Unimplemented("operand ", i, " is ", n.type(i),
                           "; supported are known images of rank 4");
  const std::vector<int64_t> x = n.type(0).StaticDims(), w = n.type(1).StaticDims();
  const std::vector<int64_t> offset = n.type(2).StaticDims();
  DeformForm f{.images = x[0], .channels = x[1], .outputs = w[0]};
  f.groups = n.Int("group", 1);
  f.bends = n.Int("offset_group", 1);
  const auto list = [&](std::string_view name, int64_t fallback, size_t size) {
    std::vector<int64_t> values = n.IntList(name);
    if (values.empty()) values.assign(size, fallback);
    values.resize(size, -1);
    return values;
  };
  const auto strides = list("strides", 1, 2), pads = list("pads", 0, 4);
  const auto dilations = list("dilations", 1, 2);
  for (size_t i = 0; i < 2; ++i) {
    f.kernel[i] = w[i + 2];
    f.steps[i] = offset[i + 2];
    f.strides[i] = strides[i];
    f.pads[i] = pads[i];
    f.dilations[i] = dilations[i];
    for (const int64_t value : {strides[i] - 1, pads[i], pads[i + 2], dilations[i] - 1})
      if (value < 0 || value > (1 << 20)) return InvalidArgument("strides, pads or dilations");
    const int64_t room = x[i + 2] + pads[i] + pads[i + 2] - (w[i + 2] - 1) * dilations[i] - 1;
    if (room < 0 || room / strides[i] + 1 != f.steps[i])
      return InvalidArgument("operand 2 is ", n.type(2), ", which does not fit axis ", i);
  }
  constexpr int64_t kMostBends = 64;  // each is read on its own
  if (f.bends > kMostBends)
    return Unimplemented("offset_group is ", f.bends, "; supported are up to ", kMostBends);
  if (f.groups < 1 || f.bends < 1 || x[1] % f.groups != 0 || w[0] % f.groups != 0 ||
      x[1] % f.bends != 0 || w[1] != x[1] / f.groups || offset[0] != x[0] ||
      offset[1] % (2 * f.bends) != 0 || offset[1] / (2 * f.bends) != f.taps() ||
      f.taps() * f.places() > kMaxPlaces)
    return InvalidArgument("operands ", n.type(0), ", ", n.type(1), " and ", n.type(2),
                           " do not fit group and offset_group");
  return f;
}

// Where every tap of the kernel reads on one axis while none is bent: [taps, places].
Value Unbent(GraphBuilder& b, const DeformForm& f, int axis, DType dtype) {
  std::vector<double> at;
  for (int64_t tap = 0; tap < f.taps(); ++tap) {
    for (int64_t place = 0; place < f.places(); ++place) {
      const int64_t k = axis == 0 ? tap / f.kernel[1] : tap % f.kernel[1];
      const int64_t p = axis == 0 ? place / f.steps[1] : place % f.steps[1];
      at.push_back(static_cast<double>(p * f.strides[axis] - f.pads[axis] + k * f.dilations[axis]));
    }
  }
  return b.Constant(HostTensor::FromDoubles(dtype, {f.taps(), f.places()}, at));
}

Results DeformConv(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const DeformForm f, DeformFormOf(n));
  const DType dtype = Wide(n.dtype(0));
  const int64_t own = f.channels / f.bends, taps = f.taps(), places = f.places();
  const Value x = To(b, n.In(0), dtype);
  const Value offset = b.Reshape(To(b, n.In(2), dtype), {f.images, f.bends, taps, 2, places});
  Value mask;
  if (n.Has(4)) mask = b.Reshape(To(b, n.In(4), dtype), {f.images, f.bends, taps, places});
  const Value image = Along(b, EmitIota(b, Dim(f.images)), 0, 3);
  const Shape each = {f.images, taps, places};
  const Value unbent[] = {Unbent(b, f, 0, dtype), Unbent(b, f, 1, dtype)};
  std::vector<Value> read;
  for (int64_t g = 0; g < f.bends; ++g) {
    const auto at = [&](int axis) {
      const Value bend = b.Narrow(b.Narrow(offset, 1, g, 1), 3, axis, 1);
      return b.Add(b.Reshape(bend, each), unbent[axis]);
    };
    const Pixels pixels = PixelsOf(b, b.Narrow(x, 1, g * own, own));
    const Sides rows = ZeroSides(b, at(0), pixels.height);
    const Sides columns = ZeroSides(b, at(1), pixels.width);
    Value sum;
    for (int corner = 0; corner < 4; ++corner) {
      const Value part = Corner(b, pixels, image, rows, columns, corner / 2, corner % 2);
      sum = corner == 0 ? part : b.Add(sum, part);
    }
    if (mask.valid()) {
      const Value share = b.Narrow(mask, 1, g, 1);
      sum = b.Mul(sum, b.Reshape(share, {f.images, taps, places, 1}));
    }
    read.push_back(b.Transpose(sum, {0, 3, 1, 2}));  // [images, own, taps, places]
  }
  const Value all = read.size() == 1 ? read[0] : b.Concat(std::move(read), 1);
  const int64_t depth = f.channels / f.groups * taps;
  const Value table = b.Reshape(all, {f.images, f.groups, depth, places});
  const Value weights =
      b.Reshape(To(b, n.In(1), dtype), {1, f.groups, f.outputs / f.groups, depth});
  Value y = b.Reshape(b.MatMul(weights, table), {f.images, f.outputs, f.steps[0], f.steps[1]});
  if (n.Has(3)) y = b.Add(y, b.Reshape(To(b, n.In(3), dtype), {1, f.outputs, 1, 1}));
  return One(To(b, y, n.dtype(0)));
}

constexpr OpRow kRows[] = {
    {kOnnx, "DeformConv", 19, INT32_MAX, 3, 5,
     "dilations group kernel_shape offset_group pads strides", DeformConv, nullptr, Carries::kNo,
     "images of known extents"},
    {kOnnx, "RoiAlign", 10, INT32_MAX, 3, 3,
     "coordinate_transformation_mode mode output_height output_width sampling_ratio spatial_scale",
     RoiAlign, nullptr, Carries::kNo, "sampling_ratio 1 and more"},
};

}  // namespace

std::span<const OpRow> RegionOps() { return kRows; }

}  // namespace rlx::onnx
