// SPDX-License-Identifier: Apache-2.0
// Images sampled at places that a run decides: every place is a sum over the elements around it.
#include <cmath>

#include "runtime/base/checked.h"
#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"

namespace rlx::onnx {
namespace {

// --- GridSample ---

struct Sampling {
  std::string mode = "linear", padding = "zeros";
  bool align_corners = false;
};

// One axis of all places: elements to read and what they weigh, each [n, places].
struct Taps {
  std::vector<Value> index, weight;  // whole numbers, as floats; may lie outside
};

Value Whole(GraphBuilder& b, const Sampling& s, Value x, const Dim& extent) {
  const DType dtype = b.type(x).dtype;
  const Value size = EmitDim(b, extent, dtype), one = Like(b, x, 1), half = Like(b, x, 0.5);
  const Value shifted = b.Mul(b.Add(x, one), half);
  if (s.align_corners) return b.Mul(shifted, b.Sub(size, one));
  return b.Sub(b.Mul(shifted, size), half);
}

// Folds x back into [low, high].
Value Reflect(GraphBuilder& b, const Sampling& s, Value x, const Dim& extent) {
  const Value size = EmitDim(b, extent, b.type(x).dtype), one = Like(b, x, 1);
  const Value low = Like(b, x, s.align_corners ? 0 : -0.5);
  const Value span = s.align_corners ? b.Sub(size, one) : size;
  const Value from = b.Unary(OpKind::kAbs, b.Sub(x, low));
  const Value safe = b.Max(span, Like(b, x, 1e-6));
  const Value turns = b.Unary(OpKind::kFloor, b.Div(from, safe));
  const Value rest = b.Sub(from, b.Mul(turns, safe));
  const Value halves = b.Unary(OpKind::kFloor, b.Mul(turns, Like(b, x, 0.5)));
  const Value odd = b.Emit(OpKind::kGt, {b.Sub(turns, b.Add(halves, halves)), Like(b, x, 0.5)});
  return b.Add(b.Where(odd, b.Sub(span, rest), rest), low);
}

Value Border(GraphBuilder& b, Value x, const Dim& extent) {
  const Value last = b.Sub(EmitDim(b, extent, b.type(x).dtype), Like(b, x, 1));
  return b.Emit(OpKind::kMin, {b.Max(x, Like(b, x, 0)), last});
}

Value Padded(GraphBuilder& b, const Sampling& s, Value x, const Dim& extent) {
  if (s.padding == "reflection") x = Reflect(b, s, x, extent);
  return s.padding == "zeros" ? x : Border(b, x, extent);
}

// The four weights of a cubic through elements at -1, 0, 1, 2 for t in [0, 1).
std::vector<Value> CubicWeights(GraphBuilder& b, Value t) {
  constexpr double a = -0.75;
  const auto c = [&](double v) { return Like(b, t, v); };
  const auto near = [&](Value d) {  // |d| ≤ 1
    return b.Add(b.Mul(b.Mul(b.Sub(b.Mul(c(a + 2), d), c(a + 3)), d), d), c(1));
  };
  const auto far = [&](Value d) {  // 1 < |d| < 2
    const Value inner = b.Add(b.Mul(b.Sub(b.Mul(c(a), d), c(5 * a)), d), c(8 * a));
    return b.Sub(b.Mul(inner, d), c(4 * a));
  };
  const Value rest = b.Sub(c(1), t);
  return {far(b.Add(t, c(1))), near(t), near(rest), far(b.Add(rest, c(1)))};
}

Taps TapsOf(GraphBuilder& b, const Sampling& s, Value x, const Dim& extent) {
  Taps taps;
  x = Whole(b, s, x, extent);
  const Value one = Like(b, x, 1);
  if (s.mode == "cubic") {
    const Value floor = b.Unary(OpKind::kFloor, x);
    taps.weight = CubicWeights(b, b.Sub(x, floor));
    for (int k = -1; k <= 2; ++k)
      taps.index.push_back(Padded(b, s, b.Add(floor, Like(b, x, k)), extent));
    return taps;
  }
  x = Padded(b, s, x, extent);
  if (s.mode == "nearest") {
    taps.index = {b.Unary(OpKind::kRound, x)};
    taps.weight = {b.Expand(one, ShapeOf(b, x))};
    return taps;
  }
  const Value floor = b.Unary(OpKind::kFloor, x), part = b.Sub(x, floor);
  taps.index = {floor, b.Add(floor, one)};
  taps.weight = {b.Sub(one, part), part};
  return taps;
}

// The elements of x [n, c, plane…] at places [n, p] of its flattened planes: [n, p, c].
Value ReadPlaces(GraphBuilder& b, Value table, Value place, const Dim& plane) {
  const Shape s = ShapeOf(b, place);
  const Value image = b.Mul(Along(b, EmitIota(b, s[0]), 0, 2), EmitDim(b, plane, DType::kI64));
  return b.Gather(table, b.Add(place, image), 0);
}

Results GridSample(OpNode& n) {
  GraphBuilder& b = n.b;
  Sampling s{.align_corners = n.Int("align_corners", 0) != 0};
  RLX_ASSIGN(s.mode, n.Choice("mode", n.opset < 20 ? "bilinear" : "linear",
                              {"linear", "bilinear", "nearest", "cubic", "bicubic"}));
  if (s.mode == "bilinear") s.mode = "linear";
  if (s.mode == "bicubic") s.mode = "cubic";
  RLX_ASSIGN(s.padding, n.Choice("padding_mode", "zeros", {"zeros", "border", "reflection"}));
  const int rank = n.rank(0), axes = rank - 2;
  if (axes < 1 || axes > 3 || n.rank(1) != rank || n.shape(1).back() != Dim(axes))
    return InvalidArgument("operands ", n.type(0), " and ", n.type(1), " do not fit");
  const Shape &x_shape = n.shape(0), &grid_shape = n.shape(1);
  const Dim count = Product(grid_shape, 1, grid_shape.size() - 1);
  const Dim plane = Product(x_shape, 2, x_shape.size());
  const DType dtype = Wide(n.dtype(0));
  const Value grid = b.Reshape(To(b, n.In(1), dtype), {grid_shape[0], count, axes});
  std::vector<Taps> taps;
  for (int i = 0; i < axes; ++i) {
    const Value one = b.Reshape(b.Narrow(grid, 2, axes - 1 - i, 1), {grid_shape[0], count});
    taps.push_back(TapsOf(b, s, one, x_shape[static_cast<size_t>(i) + 2]));
  }
  // [n·plane, c]
  const Value flat = b.Reshape(To(b, n.In(0), dtype), {x_shape[0], x_shape[1], plane});
  const Value table = b.Reshape(b.Transpose(flat, {0, 2, 1}), {x_shape[0] * plane, x_shape[1]});
  Value sum;
  std::vector<size_t> corner(taps.size(), 0);
  for (bool more = true; more;) {
    Value place, weight;
    for (size_t i = 0; i < taps.size(); ++i) {
      const Dim& extent = x_shape[i + 2];
      const Value index = taps[i].index[corner[i]];
      Value share = taps[i].weight[corner[i]];
      const Value inside = Border(b, index, extent);
      if (s.padding == "zeros")
        share = b.Where(b.Emit(OpKind::kEq, {inside, index}), share, Like(b, share, 0));
      const Value whole = b.Cast(inside, DType::kI64);
      const Dim stride = Product(x_shape, i + 3, x_shape.size());
      const Value offset = b.Mul(whole, EmitDim(b, stride, DType::kI64));
      place = i == 0 ? offset : b.Add(place, offset);
      weight = i == 0 ? share : b.Mul(weight, share);
    }
    const Value lifted = b.Reshape(weight, {grid_shape[0], count, 1});
    const Value part = b.Mul(ReadPlaces(b, table, place, plane), lifted);
    sum = sum.valid() ? b.Add(sum, part) : part;
    more = false;
    for (size_t i = 0; i < taps.size() && !more; ++i) {
      more = ++corner[i] < taps[i].index.size();
      if (!more) corner[i] = 0;
    }
  }
  Shape out = {x_shape[0], x_shape[1]};
  out.insert(out.end(), grid_shape.begin() + 1, grid_shape.end() - 1);
  return One(To(b, b.Reshape(b.Transpose(sum, {0, 2, 1}), std::move(out)), n.dtype(0)));
}

// --- AffineGrid ---

Results AffineGrid(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const std::vector<Dim> size, n.Extents(1, "size"));
  const bool align = n.Int("align_corners", 0) != 0;
  const size_t axes = size.size() < 2 ? 0 : size.size() - 2;
  if (axes < 2 || axes > 3) return Unimplemented("grids of ", axes, " axes; supported are 2, 3");
  const DType dtype = n.dtype(0);
  const Shape plane(size.begin() + 2, size.end());
  const Dim count = Product(plane, 0, plane.size());
  std::vector<Value> columns;  // x first, then y, z, and 1
  for (size_t i = axes; i-- > 0;) {
    const Value steps = To(b, EmitIota(b, plane[i]), dtype), extent = EmitDim(b, plane[i], dtype);
    const Value one = Like(b, steps, 1), two = Like(b, steps, 2);
    const Value at = align ? b.Sub(b.Div(b.Mul(steps, two), b.Max(b.Sub(extent, one), one)), one)
                           : b.Sub(b.Div(b.Add(b.Mul(steps, two), one), extent), one);
    const Value along = Along(b, at, static_cast<int64_t>(i), static_cast<int>(axes));
    columns.push_back(b.Reshape(b.Expand(along, plane), {count, 1}));
  }
  columns.push_back(b.Expand(b.Scalar(dtype, 1), {count, 1}));
  const Value base = b.Concat(std::move(columns), 1);
  const Value grid = b.MatMul(base, b.Transpose(n.In(0), {0, 2, 1}));
  Shape out = {size[0]};
  out.insert(out.end(), plane.begin(), plane.end());
  out.emplace_back(static_cast<int64_t>(axes));
  return One(b.Reshape(grid, std::move(out)));
}

// --- Col2Im ---

Results Col2Im(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const std::vector<int64_t> image, n.Ints(1, "image_shape"));
  RLX_ASSIGN(const std::vector<int64_t> block, n.Ints(2, "block_shape"));
  const size_t axes = image.size();
  const auto list = [&](std::string_view name, size_t size, int64_t fallback) {
    std::vector<int64_t> values = n.IntList(name);
    if (values.empty()) values.assign(size, fallback);
    return values;
  };
  const auto strides = list("strides", axes, 1), dilations = list("dilations", axes, 1);
  const auto pads = list("pads", 2 * axes, 0);
  if (n.rank(0) != 3 || block.size() != axes || strides.size() != axes ||
      dilations.size() != axes || pads.size() != 2 * axes || axes == 0)
    return InvalidArgument("shapes and attributes differ in length");
  for (const auto& values : {image, block, strides, dilations, pads})
    for (const int64_t value : values)
      if (value < 0 || value > INT32_MAX) return InvalidArgument("an extent or pad is ", value);
  // The place in the image of every column's every element; padding is a place of its own.
  std::vector<int64_t> places = {0};
  int64_t plane = 1, elements = 1;
  const auto spread = [&](size_t i, bool kernel) -> absl::Status {
    const int64_t reach = (block[i] - 1) * dilations[i] + 1;
    const int64_t room = image[i] + pads[i] + pads[i + axes] - reach;
    if (room < 0 || block[i] < 1 || image[i] < 1 || strides[i] < 1 || dilations[i] < 1)
      return InvalidArgument("axis ", i, " has no place for a block");
    elements *= kernel ? block[i] : room / strides[i] + 1;
    return elements > kMaxPlaces ? Unimplemented("an image of so many blocks") : absl::OkStatus();
  };
  for (size_t i = 0; i < axes; ++i) RLX_TRY(spread(i, true));
  for (size_t i = 0; i < axes; ++i) RLX_TRY(spread(i, false));
  const auto whole = CheckedProduct(image);
  if (!whole || *whole > (int64_t{1} << 40)) return Unimplemented("an image of such extents");
  plane = *whole;
  std::vector<int64_t> steps(axes);
  for (size_t i = 0; i < axes; ++i)
    steps[i] =
        (image[i] + pads[i] + pads[i + axes] - (block[i] - 1) * dilations[i] - 1) / strides[i] + 1;
  places.clear();
  std::vector<int64_t> index(2 * axes, 0);
  const auto extent_of = [&](size_t i) { return i < axes ? block[i] : steps[i - axes]; };
  for (bool more = true; more;) {
    int64_t place = 0;
    bool inside = true;
    for (size_t i = 0; i < axes; ++i) {
      const int64_t at = index[i + axes] * strides[i] + index[i] * dilations[i] - pads[i];
      inside = inside && at >= 0 && at < image[i];
      place = place * image[i] + at;
    }
    places.push_back(inside ? place : plane);
    more = false;
    for (size_t i = 2 * axes; i-- > 0 && !more;) {
      more = ++index[i] < extent_of(i);
      if (!more) index[i] = 0;
    }
  }
  int64_t kernel = 1;
  for (const int64_t extent : block) kernel *= extent;
  const Shape& s = n.shape(0);
  if (!s[1].is_static() || s[1].value() % kernel != 0 ||
      s[2] != Dim(static_cast<int64_t>(places.size()) / kernel))
    return InvalidArgument("operand 0 is ", n.type(0), ", not columns of such blocks");
  const Dim images = s[0] * Dim(s[1].value() / kernel);
  const auto count = static_cast<int64_t>(places.size());
  const Value updates = b.Transpose(b.Reshape(n.In(0), {images, count}), {1, 0});
  const Value at = b.Constant(HostTensor::FromInts(DType::kI64, {count}, places));
  const Value sums = b.Emit(OpKind::kScatterAdd, {updates, at}, {{"rows", Shape{plane + 1}}});
  Shape out = {s[0], Dim(s[1].value() / kernel)};
  out.insert(out.end(), image.begin(), image.end());
  return One(b.Reshape(b.Transpose(b.Narrow(sums, 0, 0, plane), {1, 0}), std::move(out)));
}

constexpr OpRow kRows[] = {
    {kOnnx, "AffineGrid", 20, INT32_MAX, 2, 2, "align_corners", AffineGrid},
    {kOnnx, "Col2Im", 18, INT32_MAX, 3, 3, "dilations pads strides", Col2Im, nullptr, Carries::kNo,
     "shapes have to be known"},
    {kOnnx, "GridSample", 16, INT32_MAX, 2, 2, "align_corners mode padding_mode", GridSample},
};

}  // namespace

std::span<const OpRow> VisionOps() { return kRows; }

}  // namespace rlx::onnx
