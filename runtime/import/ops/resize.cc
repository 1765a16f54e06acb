// SPDX-License-Identifier: Apache-2.0
// Resampling, one axis after another: nearest picks elements, linear and cubic are products with a
// constant matrix that has the weights of every output place.
#include <cmath>

#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"

namespace rlx::onnx {
namespace {

struct Resizing {
  std::string mode = "nearest", coordinates = "half_pixel", nearest = "round_prefer_floor";
  double cubic = -0.75, extrapolation = 0;
  bool exclude_outside = false, antialias = false;
};

// One axis: from `in` to `out` elements at `scale`; the region of interest for tf_crop_and_resize.
struct Axis {
  int64_t in = 1, out = 1;
  double scale = 1, from = 0, to = 1;
};

double Source(const Resizing& r, const Axis& a, int64_t place) {
  const auto x = static_cast<double>(place), in = static_cast<double>(a.in);
  // Not rounded: what scale makes of the extent.
  const double whole = a.scale * in;
  const auto out = static_cast<double>(a.out);
  if (r.coordinates == "asymmetric") return x / a.scale;
  if (r.coordinates == "align_corners") return whole == 1 ? 0 : x * (in - 1) / (whole - 1);
  if (r.coordinates == "pytorch_half_pixel") return whole > 1 ? (x + 0.5) / a.scale - 0.5 : 0;
  if (r.coordinates == "tf_half_pixel_for_nn") return (x + 0.5) / a.scale;
  if (r.coordinates == "half_pixel_symmetric") {
    const double adjustment = out / whole, centre = in / 2;
    return centre * (1 - adjustment) + (x + 0.5) / a.scale - 0.5;
  }
  if (r.coordinates == "tf_crop_and_resize") {
    if (a.out == 1) return 0.5 * (a.from + a.to) * (in - 1);
    return a.from * (in - 1) + x * (a.to - a.from) * (in - 1) / (out - 1);
  }
  return (x + 0.5) / a.scale - 0.5;
}

int64_t Nearest(const Resizing& r, double x) {
  if (r.nearest == "floor") return static_cast<int64_t>(std::floor(x));
  if (r.nearest == "ceil") return static_cast<int64_t>(std::ceil(x));
  const double floor = std::floor(x);
  const bool half = x - floor == 0.5;
  if (half) return static_cast<int64_t>(r.nearest == "round_prefer_ceil" ? floor + 1 : floor);
  return static_cast<int64_t>(std::floor(x + 0.5));
}

double LinearWeight(double distance) { return std::max(0.0, 1 - std::abs(distance)); }

double CubicWeight(double distance, double a) {
  const double d = std::abs(distance);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  if (d < 2) return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  return 0;
}

// The weights of the inputs for one output place, [in].
std::vector<double> Row(const Resizing& r, const Axis& a, int64_t place) {
  std::vector<double> row(static_cast<size_t>(a.in), 0);
  const double x = Source(r, a, place);
  const bool linear = r.mode == "linear";
  // Made wider when shrinking, so that every input counts.
  const double stretch = r.antialias && a.scale < 1 ? 1 / a.scale : 1;
  const double reach = (linear ? 1 : 2) * stretch;
  double sum = 0;
  const auto in = static_cast<double>(a.in);
  const auto first = static_cast<int64_t>(std::floor(std::max(x - reach, -in)));
  const auto last = static_cast<int64_t>(std::ceil(std::min(x + reach, 2 * in)));
  for (int64_t i = first; i <= last; ++i) {
    const double distance = (static_cast<double>(i) - x) / stretch;
    const double weight = linear ? LinearWeight(distance) : CubicWeight(distance, r.cubic);
    const bool outside = i < 0 || i >= a.in;
    if (outside && r.exclude_outside) continue;
    row[static_cast<size_t>(std::clamp<int64_t>(i, 0, a.in - 1))] += weight;
    sum += weight;
  }
  if (sum != 0)
    for (double& weight : row) weight /= sum;
  return row;
}

// Where tf_crop_and_resize looks outside of the input, bool [out].
std::vector<int64_t> Outside(const Resizing& r, const Axis& a) {
  std::vector<int64_t> out;
  for (int64_t place = 0; place < a.out; ++place) {
    const double x = Source(r, a, place);
    out.push_back(x < 0 || x > static_cast<double>(a.in - 1) ? 1 : 0);
  }
  return out;
}

Value ResizeAxis(GraphBuilder& b, const Resizing& r, const Axis& a, Value x, int64_t axis) {
  if (r.mode == "nearest") {
    std::vector<int64_t> places;
    for (int64_t place = 0; place < a.out; ++place)
      places.push_back(std::clamp<int64_t>(Nearest(r, Source(r, a, place)), 0, a.in - 1));
    return b.Gather(x, b.Constant(HostTensor::FromInts(DType::kI64, {a.out}, places)), axis);
  }
  std::vector<double> matrix(static_cast<size_t>(a.in * a.out));
  for (int64_t place = 0; place < a.out; ++place) {
    const std::vector<double> row = Row(r, a, place);
    for (int64_t i = 0; i < a.in; ++i)
      matrix[static_cast<size_t>(i * a.out + place)] = row[static_cast<size_t>(i)];
  }
  const Value weights = b.Constant(HostTensor::FromDoubles(b.type(x).dtype, {a.in, a.out}, matrix));
  return MoveFromLast(b, b.MatMul(MoveLast(b, x, axis), weights), axis);
}

Results Resample(OpNode& n, const Resizing& r, const std::vector<Axis>& axes) {
  GraphBuilder& b = n.b;
  const DType dtype = n.dtype(0);
  const bool exact = r.mode == "nearest";
  Value x = exact ? n.In(0) : To(b, n.In(0), IsFloat(dtype) ? Wide(dtype) : DType::kF32);
  for (size_t i = 0; i < axes.size(); ++i) {
    const Axis& a = axes[i];
    const bool crop = r.coordinates == "tf_crop_and_resize" && (a.from != 0 || a.to != 1);
    if (a.in == a.out && a.scale == 1 && !crop) continue;
    constexpr int64_t kMost = int64_t{1} << 22;
    if (a.in > kMost || a.out > kMost || (!exact && a.in > kMost / a.out))
      return Unimplemented("resampling ", a.in, " to ", a.out, " elements in mode ", r.mode);
    x = ResizeAxis(b, r, a, x, static_cast<int64_t>(i));
  }
  if (r.coordinates == "tf_crop_and_resize") {
    for (size_t i = 0; i < axes.size(); ++i) {
      const std::vector<int64_t> outside = Outside(r, axes[i]);
      if (std::none_of(outside.begin(), outside.end(), [](int64_t o) { return o != 0; })) continue;
      const Value mask = b.Constant(
          HostTensor::FromInts(DType::kBool, {static_cast<int64_t>(outside.size())}, outside));
      x = b.Where(Along(b, mask, static_cast<int64_t>(i), n.rank(0)), Like(b, x, r.extrapolation),
                  x);
    }
  }
  if (!exact && !IsFloat(dtype)) x = b.Unary(OpKind::kRound, x);
  return One(To(b, x, dtype));
}

absl::StatusOr<std::vector<Axis>> Whole(const OpNode& n) {
  std::vector<Axis> axes;
  for (const Dim& dim : n.shape(0)) {
    if (!dim.is_static()) return Unimplemented("resizing with an axis of extent ", dim);
    axes.push_back({dim.value(), dim.value()});
  }
  return axes;
}

int64_t Scaled(int64_t extent, double scale) {
  return static_cast<int64_t>(std::floor(static_cast<double>(extent) * scale));
}

absl::StatusOr<std::vector<double>> CheckedScales(std::vector<double> scales) {
  for (const double scale : scales)
    if (!(scale > 0 && scale < 1e6)) return InvalidArgument("scales has ", scale);
  return scales;
}

absl::Status CheckExtents(const std::vector<Axis>& axes) {
  for (const Axis& a : axes)
    if (a.out < 1 || !(a.scale > 0)) return InvalidArgument("an axis gets ", a.out, " elements");
  return absl::OkStatus();
}

// Whole-number factors of symbolic images, nearest: each element repeated.
absl::StatusOr<std::optional<Value>> Repeat(OpNode& n, const Resizing& r,
                                            const std::vector<double>& scales) {
  const bool symbolic = std::any_of(n.shape(0).begin(), n.shape(0).end(),
                                    [](const Dim& d) { return !d.is_static(); });
  if (!symbolic || r.mode != "nearest" || scales.size() != n.shape(0).size()) return std::nullopt;
  const bool floors = r.coordinates == "asymmetric" || r.coordinates == "half_pixel" ||
                      r.coordinates == "pytorch_half_pixel" ||
                      r.coordinates == "tf_half_pixel_for_nn";
  if (!floors) return std::nullopt;
  Shape apart, spread, joined;
  for (size_t i = 0; i < scales.size(); ++i) {
    if (scales[i] != std::floor(scales[i]) || scales[i] < 1) return std::nullopt;
    // Only these round to the element itself at every place of its block.
    if (r.coordinates == "asymmetric" && r.nearest != "floor" && scales[i] != 1)
      return std::nullopt;
    const Dim factor(static_cast<int64_t>(scales[i]));
    apart.insert(apart.end(), {n.shape(0)[i], Dim(1)});
    spread.insert(spread.end(), {n.shape(0)[i], factor});
    joined.push_back(n.shape(0)[i] * factor);
  }
  return n.b.Reshape(n.b.Expand(n.b.Reshape(n.In(0), apart), spread), joined);
}

absl::StatusOr<Resizing> ResizingOf(const OpNode& n) {
  Resizing r;
  RLX_ASSIGN(r.mode, n.Choice("mode", "nearest", {"nearest", "linear", "cubic"}));
  RLX_ASSIGN(r.coordinates,
             n.Choice("coordinate_transformation_mode", n.opset < 11 ? "asymmetric" : "half_pixel",
                      {"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric",
                       "tf_half_pixel_for_nn", "tf_crop_and_resize", "half_pixel_symmetric"}));
  RLX_ASSIGN(r.nearest, n.Choice("nearest_mode", n.opset < 11 ? "floor" : "round_prefer_floor",
                                 {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}));
  r.cubic = n.Float("cubic_coeff_a", -0.75);
  r.extrapolation = n.Float("extrapolation_value", 0);
  r.exclude_outside = n.Int("exclude_outside", 0) != 0;
  r.antialias = n.Int("antialias", 0) != 0;
  return r;
}

// As it says how far extents keep their ratio.
absl::Status FromSizes(const OpNode& n, const std::vector<int64_t>& sizes,
                       const std::vector<int64_t>& named, std::vector<Axis>& axes) {
  RLX_ASSIGN(const std::string policy, n.Choice("keep_aspect_ratio_policy", "stretch",
                                                {"stretch", "not_larger", "not_smaller"}));
  if (sizes.size() != named.size()) return InvalidArgument("sizes has ", sizes.size(), " entries");
  double common = policy == "not_larger" ? INFINITY : 0;
  for (size_t i = 0; i < named.size(); ++i) {
    Axis& a = axes[static_cast<size_t>(named[i])];
    a.out = sizes[i];
    a.scale = static_cast<double>(sizes[i]) / static_cast<double>(a.in);
    common = policy == "not_larger" ? std::min(common, a.scale) : std::max(common, a.scale);
  }
  if (policy == "stretch") return absl::OkStatus();
  for (const int64_t axis : named) {
    Axis& a = axes[static_cast<size_t>(axis)];
    a.scale = common;
    a.out = static_cast<int64_t>(std::floor(static_cast<double>(a.in) * common + 0.5));
  }
  return absl::OkStatus();
}

Results Resize(OpNode& n) {
  RLX_ASSIGN(const Resizing r, ResizingOf(n));
  std::vector<int64_t> named = n.IntList("axes");
  if (!n.HasAttr("axes"))
    for (int i = 0; i < n.rank(0); ++i) named.push_back(i);
  RLX_ASSIGN(named, n.Axes(named, n.rank(0)));
  const int scales_at = n.opset < 11 ? 1 : 2;
  std::vector<double> scales;
  if (n.Has(scales_at)) {
    RLX_ASSIGN(std::vector<double> given, n.Doubles(scales_at, "scales"));
    RLX_ASSIGN(scales, CheckedScales(std::move(given)));
  }
  if (!scales.empty()) {
    RLX_ASSIGN(const std::optional<Value> repeated, Repeat(n, r, scales));
    if (repeated) return One(*repeated);
  }
  RLX_ASSIGN(std::vector<Axis> axes, Whole(n));
  if (!scales.empty()) {
    if (scales.size() != named.size())
      return InvalidArgument("scales has ", scales.size(), " entries for ", named.size(), " axes");
    for (size_t i = 0; i < named.size(); ++i) {
      Axis& a = axes[static_cast<size_t>(named[i])];
      a.scale = scales[i];
      a.out = Scaled(a.in, scales[i]);
    }
  } else if (n.opset >= 11 && n.Has(3)) {
    RLX_ASSIGN(const std::vector<int64_t> sizes, n.Ints(3, "sizes"));
    RLX_TRY(FromSizes(n, sizes, named, axes));
  } else {
    return InvalidArgument("neither scales nor sizes are given");
  }
  if (r.coordinates == "tf_crop_and_resize") {
    if (!n.Has(1)) return InvalidArgument("operand 1 (roi) is not given");
    RLX_ASSIGN(const std::vector<double> roi, n.Doubles(1, "roi"));
    if (roi.size() != 2 * named.size()) return InvalidArgument("roi has ", roi.size(), " entries");
    for (size_t i = 0; i < named.size(); ++i) {
      axes[static_cast<size_t>(named[i])].from = roi[i];
      axes[static_cast<size_t>(named[i])].to = roi[i + named.size()];
    }
  }
  RLX_TRY(CheckExtents(axes));
  return Resample(n, r, axes);
}

Results Upsample(OpNode& n) {
  Resizing r{.coordinates = "asymmetric", .nearest = "floor"};
  RLX_ASSIGN(r.mode, n.Choice("mode", "nearest", {"nearest", "linear"}));
  std::vector<double> scales = n.FloatList("scales");
  if (n.opset >= 9 && n.Has(1)) {
    RLX_ASSIGN(scales, n.Doubles(1, "scales"));
  }
  RLX_ASSIGN(scales, CheckedScales(std::move(scales)));
  RLX_ASSIGN(const std::optional<Value> repeated, Repeat(n, r, scales));
  if (repeated) return One(*repeated);
  RLX_ASSIGN(std::vector<Axis> axes, Whole(n));
  if (scales.size() != axes.size())
    return InvalidArgument("scales has ", scales.size(), " entries");
  for (size_t i = 0; i < axes.size(); ++i) {
    axes[i].scale = scales[i];
    axes[i].out = Scaled(axes[i].in, scales[i]);
  }
  RLX_TRY(CheckExtents(axes));
  return Resample(n, r, axes);
}

constexpr OpRow kRows[] = {
    {kOnnx, "Resize", 10, INT32_MAX, 1, 4,
     "antialias axes coordinate_transformation_mode cubic_coeff_a exclude_outside "
     "extrapolation_value keep_aspect_ratio_policy mode nearest_mode",
     Resize, nullptr, Carries::kNo,
     "scales, sizes and extents have to be known, but for whole factors of nearest"},
    {kOnnx, "Upsample", 7, 9, 1, 2, "mode scales", Upsample, nullptr, Carries::kNo,
     "extents have to be known, but for whole factors of nearest"},
};

}  // namespace

std::span<const OpRow> ResizeOps() { return kRows; }

}  // namespace rlx::onnx
