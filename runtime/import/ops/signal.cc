// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <numbers>

#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"

namespace rlx::onnx {
namespace {

constexpr int64_t kMaxPoints = 4096;  // of a transform, which is a product with a matrix

absl::StatusOr<int64_t> OneInt(const OpNode& n, int operand, std::string_view what) {
  RLX_ASSIGN(const std::vector<int64_t> given, n.Ints(operand, what));
  if (given.size() != 1)
    return InvalidArgument("operand ", operand, " (", what, ") has ", given.size(), " elements");
  return given[0];
}

// a0 - a1·cos(2πi/N) + a2·cos(4πi/N).
Results Window(OpNode& n, double a0, double a1, double a2) {
  RLX_ASSIGN(const int64_t size, OneInt(n, 0, "size"));
  if (size < 1 || size > kMaxPlaces) return Unimplemented("a window of ", size);
  const ElementInfo* info = Find(static_cast<Element>(n.Int("output_datatype", 1)));
  if (info == nullptr || info->carried) return Unimplemented("this output_datatype");
  const double period = static_cast<double>(n.Int("periodic", 1) != 0 ? size : size - 1);
  std::vector<double> values;
  for (int64_t i = 0; i < size; ++i) {
    const double angle = period > 0 ? 2 * std::numbers::pi * static_cast<double>(i) / period : 0;
    values.push_back(a0 - a1 * std::cos(angle) + a2 * std::cos(2 * angle));
  }
  return One(n.b.Constant(HostTensor::FromDoubles(info->dtype, {size}, values)));
}
Results Hann(OpNode& n) { return Window(n, 0.5, 0.5, 0); }
Results Hamming(OpNode& n) { return Window(n, 25.0 / 46, 21.0 / 46, 0); }
Results Blackman(OpNode& n) { return Window(n, 0.42, 0.5, 0.08); }

// [points, out, 2] for one part of the input: multiplied and summed it gives real and imaginary
// parts. `imaginary`: what the imaginary part of the input contributes.
Value Turns(GraphBuilder& b, DType dtype, int64_t points, int64_t out, bool inverse,
            bool imaginary) {
  std::vector<double> values(static_cast<size_t>(points * out * 2));
  const double scale = inverse ? 1 / static_cast<double>(points) : 1;
  for (int64_t k = 0; k < points; ++k) {
    for (int64_t j = 0; j < out; ++j) {
      const double turn = static_cast<double>(k * j % points) / static_cast<double>(points);
      const double angle = (inverse ? 2 : -2) * std::numbers::pi * turn;
      const auto at = static_cast<size_t>((k * out + j) * 2);
      values[at] = scale * (imaginary ? -std::sin(angle) : std::cos(angle));
      values[at + 1] = scale * (imaginary ? std::cos(angle) : std::sin(angle));
    }
  }
  return b.Constant(HostTensor::FromDoubles(dtype, {points, out * 2}, values));
}

// [half, points] for the real or the imaginary part of the first half of a spectrum whose other
// half mirrors it: multiplied and summed it gives the real signal.
Value HalfTurns(GraphBuilder& b, DType dtype, int64_t points, bool imaginary) {
  const int64_t half = points / 2 + 1;
  std::vector<double> values;
  for (int64_t k = 0; k < half; ++k) {
    const bool alone = k == 0 || 2 * k == points;
    const double scale = (alone ? 1 : 2) / static_cast<double>(points);
    for (int64_t j = 0; j < points; ++j) {
      const double turn = static_cast<double>(k * j % points) / static_cast<double>(points);
      const double angle = 2 * std::numbers::pi * turn;
      values.push_back(scale * (imaginary ? -std::sin(angle) : std::cos(angle)));
    }
  }
  return b.Constant(HostTensor::FromDoubles(dtype, {half, points}, values));
}

// The part of the last axis, which goes.
Value PartOf(GraphBuilder& b, Value x, int64_t which) {
  Shape shape = ShapeOf(b, x);
  const auto last = static_cast<int64_t>(shape.size()) - 1;
  shape.pop_back();
  return b.Reshape(b.Narrow(x, last, which, 1), std::move(shape));
}

// x [.., points/2 + 1, 1 or 2] to the real signal [.., points, 1].
Value RealSignal(GraphBuilder& b, Value x, int64_t points) {
  Shape shape = ShapeOf(b, x);
  const DType dtype = b.type(x).dtype;
  Value sum = b.MatMul(PartOf(b, x, 0), HalfTurns(b, dtype, points, false));
  if (shape.back() == Dim(2))
    sum = b.Add(sum, b.MatMul(PartOf(b, x, 1), HalfTurns(b, dtype, points, true)));
  shape[shape.size() - 2] = points;
  shape.back() = 1;
  return b.Reshape(sum, std::move(shape));
}

// x [.., points, 1 or 2] along its last but one axis, to [.., out, 2].
absl::StatusOr<Value> Transform(GraphBuilder& b, Value x, int64_t points, bool inverse,
                                bool onesided) {
  if (points < 1 || points > kMaxPoints)
    return Unimplemented("a transform of ", points, " points; supported are up to ", kMaxPoints);
  const TensorType type = b.type(x);
  const int64_t out = onesided ? points / 2 + 1 : points;
  const auto part = [&](int64_t which) {
    return b.MatMul(PartOf(b, x, which), Turns(b, type.dtype, points, out, inverse, which == 1));
  };
  Value sum = part(0);
  if (type.shape.back() == Dim(2)) sum = b.Add(sum, part(1));
  Shape shape = type.shape;
  shape[shape.size() - 2] = out;
  shape.back() = 2;
  return b.Reshape(sum, std::move(shape));
}

Results Dft(OpNode& n) {
  GraphBuilder& b = n.b;
  const int rank = n.rank(0);
  if (rank < 2 || (n.shape(0).back() != Dim(1) && n.shape(0).back() != Dim(2)))
    return InvalidArgument("operand 0 needs a last axis of extent 1 or 2");
  int64_t axis = n.opset < 20 ? n.Int("axis", 1) : -2;
  if (n.opset >= 20 && n.Has(2)) {
    RLX_ASSIGN(axis, OneInt(n, 2, "axis"));
  }
  RLX_ASSIGN(axis, n.Axis(axis, rank));
  if (axis == rank - 1) return InvalidArgument("axis ", axis, " is that of the parts");
  const Dim& extent = n.shape(0)[static_cast<size_t>(axis)];
  if (!extent.is_static() || extent.value() > kMaxPlaces)
    return Unimplemented("a transform along extent ", extent);
  const bool inverse = n.Int("inverse", 0) != 0, onesided = n.Int("onesided", 0) != 0;
  const bool to_real = inverse && onesided;  // from the first half of a spectrum
  int64_t points = to_real ? 2 * (extent.value() - 1) : extent.value();
  if (n.Has(1)) {
    RLX_ASSIGN(points, OneInt(n, 1, "dft_length"));
  }
  if (points < 1 || points > kMaxPoints) return Unimplemented("a transform of ", points, " points");
  std::vector<int64_t> before(static_cast<size_t>(rank), 0), after = before;
  after[static_cast<size_t>(axis)] = (to_real ? points / 2 + 1 : points) - extent.value();
  // Sums that cancel are what transforms are made of: f64 keeps the zeros of a spectrum small.
  Value x = To(b, PadWith(b, n.In(0), before, after, b.Scalar(n.dtype(0), 0)), DType::kF64);
  std::vector<int64_t> perm;
  for (int i = 0; i + 1 < rank; ++i)
    if (i != axis) perm.push_back(i);
  perm.insert(perm.end(), {axis, rank - 1});
  x = b.Transpose(x, perm);
  Value y;
  if (to_real) {
    y = RealSignal(b, x, points);
  } else {
    RLX_ASSIGN(y, Transform(b, x, points, inverse, onesided));
  }
  y = To(b, y, n.dtype(0));
  std::vector<int64_t> back(perm.size());
  for (size_t i = 0; i < perm.size(); ++i)
    back[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
  return One(b.Transpose(y, std::move(back)));
}

Results Stft(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const int64_t step, OneInt(n, 1, "frame_step"));
  if (n.rank(0) != 3 || !n.shape(0)[1].is_static())
    return Unimplemented("a signal ", n.type(0), "; supported is [batch,length,1 or 2]");
  const int64_t length = n.shape(0)[1].value();
  int64_t frame = 0;
  if (n.Has(3)) {
    RLX_ASSIGN(frame, OneInt(n, 3, "frame_length"));
  } else if (n.Has(2) && n.shape(2).size() == 1 && n.shape(2)[0].is_static()) {
    frame = n.shape(2)[0].value();
  }
  if (frame < 1 || frame > length || step < 1) return InvalidArgument("frames of ", frame);
  const int64_t frames = (length - frame) / step + 1;
  if (frames > kMaxPlaces / frame) return Unimplemented(frames, " frames");
  std::vector<int64_t> places;
  for (int64_t f = 0; f < frames; ++f)
    for (int64_t i = 0; i < frame; ++i) places.push_back(f * step + i);
  Value x =
      b.Gather(n.In(0), b.Constant(HostTensor::FromInts(DType::kI64, {frames, frame}, places)), 1);
  if (n.Has(2)) x = b.Mul(x, b.Reshape(n.In(2), {frame, 1}));
  RLX_ASSIGN(const Value y, Transform(b, x, frame, false, n.Int("onesided", 1) != 0));
  return One(y);
}

double MelOf(double hertz) { return 2595 * std::log10(1 + hertz / 700); }

Results MelWeightMatrix(OpNode& n) {
  RLX_ASSIGN(const int64_t bins, OneInt(n, 0, "num_mel_bins"));
  RLX_ASSIGN(const int64_t points, OneInt(n, 1, "dft_length"));
  RLX_ASSIGN(const int64_t rate, OneInt(n, 2, "sample_rate"));
  RLX_ASSIGN(const std::vector<double> low, n.Doubles(3, "lower_edge_hertz"));
  RLX_ASSIGN(const std::vector<double> high, n.Doubles(4, "upper_edge_hertz"));
  if (bins < 1 || points < 1 || rate < 1 || low.size() != 1 || high.size() != 1 ||
      bins > kMaxPoints || points > kMaxPoints)
    return InvalidArgument("the matrix would be ", points, " by ", bins);
  const int64_t rows = points / 2 + 1;
  std::vector<int64_t> edges;
  const double from = MelOf(low[0]), step = (MelOf(high[0]) - from) / static_cast<double>(bins + 2);
  for (int64_t i = 0; i < bins + 2; ++i) {
    const double hertz = 700 * (std::pow(10, (from + static_cast<double>(i) * step) / 2595) - 1);
    edges.push_back(static_cast<int64_t>(
        std::floor(static_cast<double>(points + 1) * hertz / static_cast<double>(rate))));
  }
  std::vector<double> values(static_cast<size_t>(rows * bins), 0);
  const auto put = [&](int64_t row, int64_t bin, double value) {
    if (row >= 0 && row < rows) values[static_cast<size_t>(row * bins + bin)] = value;
  };
  for (int64_t bin = 0; bin < bins; ++bin) {
    const auto at = static_cast<size_t>(bin);
    const int64_t left = edges[at], centre = edges[at + 1], right = edges[at + 2];
    if (centre == left) put(centre, bin, 1);
    for (int64_t row = left; row <= centre && centre > left; ++row)
      put(row, bin, static_cast<double>(row - left) / static_cast<double>(centre - left));
    for (int64_t row = centre; row < right; ++row)
      put(row, bin, static_cast<double>(right - row) / static_cast<double>(right - centre));
  }
  const ElementInfo* info = Find(static_cast<Element>(n.Int("output_datatype", 1)));
  if (info == nullptr || info->carried) return Unimplemented("this output_datatype");
  return One(n.b.Constant(HostTensor::FromDoubles(info->dtype, {rows, bins}, values)));
}

constexpr std::string_view kKnown = "the size has to be known";

constexpr OpRow kRows[] = {
    {kOnnx, "BlackmanWindow", 17, INT32_MAX, 1, 1, "output_datatype periodic", Blackman, nullptr,
     Carries::kNo, kKnown},
    {kOnnx, "DFT", 17, INT32_MAX, 1, 3, "axis inverse onesided", Dft, nullptr, Carries::kNo,
     "up to 4096 points, length and axis known"},
    {kOnnx, "HammingWindow", 17, INT32_MAX, 1, 1, "output_datatype periodic", Hamming, nullptr,
     Carries::kNo, kKnown},
    {kOnnx, "HannWindow", 17, INT32_MAX, 1, 1, "output_datatype periodic", Hann, nullptr,
     Carries::kNo, kKnown},
    {kOnnx, "MelWeightMatrix", 17, INT32_MAX, 5, 5, "output_datatype", MelWeightMatrix, nullptr,
     Carries::kNo, "all operands have to be known"},
    {kOnnx, "STFT", 17, INT32_MAX, 2, 4, "onesided", Stft, nullptr, Carries::kNo,
     "up to 4096 points, step and length known"},
};

}  // namespace

std::span<const OpRow> SignalOps() { return kRows; }

}  // namespace rlx::onnx
