// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "runtime/import/ops/carried.h"
#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"
#include "runtime/import/ops/window.h"

namespace rlx::onnx {
namespace {

// What an integer element type can hold.
struct Limits_ {
  double low = 0, high = 0;
};
std::optional<Limits_> LimitsOf(Element element) {
  switch (element) {
    case Element::kUint8:
      return Limits_{0, 255};
    case Element::kInt8:
      return Limits_{-128, 127};
    case Element::kUint16:
      return Limits_{0, 65535};
    case Element::kInt16:
      return Limits_{-32768, 32767};
    case Element::kUint4:
      return Limits_{0, 15};
    case Element::kInt4:
      return Limits_{-8, 7};
    case Element::kUint2:
      return Limits_{0, 3};
    case Element::kInt2:
      return Limits_{-2, 1};
    default:
      return std::nullopt;
  }
}

// Scales or zero points so that they broadcast against x: one for all, one per index of `axis`, or
// one per block along it.
absl::StatusOr<Value> Broadcastable(OpNode& n, int operand, Value v, int64_t axis) {
  GraphBuilder& b = n.b;
  const Shape shape = ShapeOf(b, v), &whole = n.shape(0);
  if (shape.empty() || Product(shape, 0, shape.size()) == Dim(1)) return b.Reshape(v, {});
  const auto at = static_cast<size_t>(axis);
  if (shape.size() == 1 && at < whole.size()) return Along(b, v, axis, n.rank(0));
  if (shape.size() != whole.size())
    return InvalidArgument("operand ", operand, " has rank ", shape.size(), ", operand 0 has ",
                           whole.size());
  if (shape[at] == whole[at]) return v;
  if (!shape[at].is_static() || !whole[at].is_static())
    return Unimplemented("blocks of an axis of extent ", whole[at]);
  const int64_t blocks = shape[at].value(), extent = whole[at].value();
  int64_t size = n.Int("block_size", 0);
  if (size == 0) size = (extent + blocks - 1) / blocks;
  std::vector<int64_t> places;
  for (int64_t i = 0; i < extent; ++i) places.push_back(std::min(i / size, blocks - 1));
  return b.Gather(v, b.Constant(HostTensor::FromInts(DType::kI64, {extent}, places)), axis);
}

// Scales and zero points as attributes of the IR's own ops: known ones, of 8-bit types.
std::optional<std::vector<Attr>> AsAttributes(OpNode& n, int64_t axis, bool quantize, Element q) {
  if (q != Element::kUint8 && q != Element::kInt8 && (quantize || q != Element::kInt32)) return {};
  if (!n.IsConstant(1) || n.rank(1) > 1 || (n.Has(2) && !n.IsConstant(2))) return {};
  const auto scales = n.Doubles(1, "scale");
  if (!scales.ok() || scales->empty()) return {};
  std::vector<int64_t> zeros(scales->size(), 0);
  if (n.Has(2)) {
    const auto given = n.Ints(2, "zero point");
    if (!given.ok() || given->size() != zeros.size()) return {};
    zeros = *given;
  }
  for (const double scale : *scales)
    if (!(scale > 0) || !std::isfinite(scale)) return {};
  std::vector<Attr> attrs = {{"scales", *scales}, {"zero_points", std::move(zeros)}};
  if (scales->size() > 1) attrs.push_back({"axis", axis});
  return attrs;
}

Element ZeroElement(const OpNode& n, Element fallback) {
  if (n.Has(2)) return n.element(2);
  const auto asked = static_cast<Element>(n.Int("output_dtype", 0));
  return asked == Element::kUndefined ? fallback : asked;
}

Value Rounded(GraphBuilder& b, Value x, Value zero, const Limits_& range, DType to) {
  Value q = b.Unary(OpKind::kRound, x);
  if (zero.valid()) q = b.Add(q, zero);
  return To(b, Clamp(b, q, range.low, range.high), to);
}

absl::StatusOr<int64_t> QuantAxis(const OpNode& n) {
  if (n.rank(0) == 0 || n.rank(1) == 0) return 0;
  const int64_t axis = n.Int("axis", 1);
  if (n.rank(1) == 1 && n.shape(1)[0] == Dim(1)) return 0;
  return n.Axis(axis, n.rank(0));
}

Results QuantizeLinear(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const int64_t axis, QuantAxis(n));
  const Element to = ZeroElement(n, Element::kUint8);
  const ElementInfo* info = Find(to);
  if (info == nullptr) return Unimplemented("quantizing to ", Name(to), " is not supported");
  n.SetElement(0, to);
  if (n.dtype(0) == DType::kF32) {
    if (auto attrs = AsAttributes(n, axis, true, to)) {
      attrs->push_back({"to", info->dtype});
      return One(b.Emit(OpKind::kQuantize, {n.In(0)}, std::move(*attrs)));
    }
  }
  const Value x = To(b, n.In(0), DType::kF32);
  RLX_ASSIGN(const Value scale,
             Broadcastable(n, 1, To(b, Decode(b, n.In(1), n.element(1)), DType::kF32), axis));
  const Value steps = b.Div(x, scale);
  const auto range = LimitsOf(to);
  if (!range) {
    CastMode mode{.saturate = n.Int("saturate", 1) != 0};
    return One(Encode(b, steps, to, mode));
  }
  Value zero;
  if (n.Has(2)) {
    RLX_ASSIGN(zero, Broadcastable(n, 2, To(b, n.In(2), DType::kF32), axis));
  }
  return One(Rounded(b, steps, zero, *range, info->dtype));
}

Results DequantizeLinear(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const int64_t axis, QuantAxis(n));
  DType to = n.dtype(1);
  if (const auto* asked = Find(static_cast<Element>(n.Int("output_dtype", 0)))) to = asked->dtype;
  if (!IsFloat(to)) to = DType::kF32;
  if (auto attrs = AsAttributes(n, axis, false, n.element(0))) {
    attrs->push_back({"to", to});
    return One(b.Emit(OpKind::kDequantize, {n.In(0)}, std::move(*attrs)));
  }
  Value x = To(b, Decode(b, n.In(0), n.element(0)), DType::kF32);
  if (n.Has(2)) {
    const Value given = To(b, Decode(b, n.In(2), n.element(2)), DType::kF32);
    RLX_ASSIGN(const Value zero, Broadcastable(n, 2, given, axis));
    x = b.Sub(x, zero);
  }
  RLX_ASSIGN(const Value scale,
             Broadcastable(n, 1, To(b, Decode(b, n.In(1), n.element(1)), DType::kF32), axis));
  return One(To(b, b.Mul(x, scale), to));
}

Results DynamicQuantize(OpNode& n) {
  GraphBuilder& b = n.b;
  const Value x = n.In(0), zero = Like(b, x, 0), steps = Like(b, x, 255);
  std::vector<int64_t> axes;
  for (int i = 0; i < n.rank(0); ++i) axes.push_back(i);
  const auto over = [&](OpKind kind) { return axes.empty() ? x : b.Reduce(kind, x, axes, false); };
  const Value high = b.Max(over(OpKind::kReduceMax), zero);
  const Value low = b.Emit(OpKind::kMin, {over(OpKind::kReduceMin), zero});
  const Value range = b.Sub(high, low);
  // All zeros: any scale will do.
  const Value none = b.Emit(OpKind::kEq, {range, zero});
  const Value scale = b.Where(none, Like(b, x, 1), b.Div(range, steps));
  const Value start = b.Div(b.Sub(zero, low), scale);
  const Value point = Clamp(b, b.Unary(OpKind::kRound, start), 0, 255);
  const Value y = Rounded(b, b.Div(x, scale), point, {0, 255}, DType::kU8);
  return std::vector<Value>{y, b.Where(none, zero, scale), b.Cast(point, DType::kU8)};
}

// --- Products of integers ---

// An operand less its zero point, in `dtype`; `per` is the axis that several zero points differ
// along.
Value Centred(OpNode& n, int operand, int zero_point, DType dtype, int64_t per) {
  GraphBuilder& b = n.b;
  const Value x = b.Cast(n.In(operand), dtype);
  if (!n.Has(zero_point)) return x;
  Value zero = b.Cast(n.In(zero_point), dtype);
  const Shape& shape = n.shape(zero_point);
  if (Product(shape, 0, shape.size()) == Dim(1))
    zero = b.Reshape(zero, {});
  else if (shape.size() == 1)
    zero = Along(b, zero, per, n.rank(operand));
  return b.Sub(x, zero);
}

Value IntegerProduct(OpNode& n, int a, int a_zero, int w, int w_zero) {
  GraphBuilder& b = n.b;
  Value x = Centred(n, a, a_zero, DType::kI32, std::max(0, n.rank(a) - 2));
  Value y = Centred(n, w, w_zero, DType::kI32, n.rank(w) - 1);
  if (n.rank(a) == 1) x = b.Reshape(x, {Dim(1), n.shape(a)[0]});
  if (n.rank(w) == 1) y = b.Reshape(y, {n.shape(w)[0], Dim(1)});
  Value out = b.MatMul(x, y);
  Shape shape = ShapeOf(b, out);
  if (shape.size() < 2) return out;
  if (n.rank(w) == 1) shape.pop_back();
  if (n.rank(a) == 1) shape.erase(shape.end() - (n.rank(w) == 1 ? 1 : 2));
  return shape == ShapeOf(b, out) ? out : b.Reshape(out, std::move(shape));
}

Results MatMulInteger(OpNode& n) { return One(IntegerProduct(n, 0, 2, 1, 3)); }

// A float of rank 0 or 1 so that it lies along `axis` of something of `rank`.
Value ScaleOf(OpNode& n, int operand, int64_t axis, int rank) {
  const Value scale = To(n.b, n.In(operand), DType::kF32);
  const Shape& shape = n.shape(operand);
  if (Product(shape, 0, shape.size()) == Dim(1)) return n.b.Reshape(scale, {});
  return shape.size() == 1 ? Along(n.b, scale, axis, rank) : scale;
}

// Sums in integers, scaled to the result's.
absl::StatusOr<Value> Requantized(OpNode& n, Value sums, Value scale, int y_scale, int y_zero) {
  GraphBuilder& b = n.b;
  const auto range = LimitsOf(n.element(y_zero));
  if (!range) return Unimplemented("a result of ", Name(n.element(y_zero)), " is not supported");
  n.SetElement(0, n.element(y_zero));
  const Value zero = b.Reshape(b.Cast(n.In(y_zero), DType::kF32), {});
  const Value ratio = b.Div(scale, b.Reshape(To(b, n.In(y_scale), DType::kF32), {}));
  return Rounded(b, b.Mul(b.Cast(sums, DType::kF32), ratio), zero, *range, n.dtype(y_zero));
}

Results QLinearMatMul(OpNode& n) {
  const Value sums = IntegerProduct(n, 0, 2, 3, 5);
  const int rank = n.b.type(sums).rank();
  const Value scale = n.b.Mul(ScaleOf(n, 1, std::max(0, rank - 2), rank),
                              ScaleOf(n, 4, std::max(0, rank - 1), rank));
  RLX_ASSIGN(const Value out, Requantized(n, sums, scale, 6, 7));
  return One(out);
}

Results QLinearConv(OpNode& n) {
  GraphBuilder& b = n.b;
  if (n.rank(3) < 3) return InvalidArgument("operand 3 has rank ", n.rank(3), ", less than 3");
  std::vector<int64_t> kernel;
  for (size_t i = 2; i < n.shape(3).size(); ++i) {
    if (!n.shape(3)[i].is_static()) return Unimplemented("a symbolic kernel");
    kernel.push_back(n.shape(3)[i].value());
  }
  RLX_ASSIGN(const Window w, WindowOf(n, kernel));
  // Sums of up to 64 products of 9 and 9 bits are exact in f32; longer ones are added up in f64.
  const Dim count = Product(n.shape(3), 1, n.shape(3).size());
  const DType dtype = count.is_static() && count.value() <= 64 ? DType::kF32 : DType::kF64;
  Value sums = b.Emit(OpKind::kConv, {Centred(n, 0, 2, dtype, 1), Centred(n, 3, 5, dtype, 0)},
                      {{"strides", w.strides},
                       {"pads", w.pads},
                       {"dilations", w.dilations},
                       {"groups", n.Int("group", 1)}});
  if (n.Has(8)) sums = b.Add(sums, Along(b, b.Cast(n.In(8), dtype), 1, n.rank(0)));
  const Value scale = b.Mul(ScaleOf(n, 1, 1, n.rank(0)), ScaleOf(n, 4, 1, n.rank(0)));
  RLX_ASSIGN(const Value out, Requantized(n, sums, scale, 6, 7));
  return One(out);
}

// --- com.microsoft: an op between dequantize and quantize ---

Value Real(OpNode& n, int first) {
  GraphBuilder& b = n.b;
  Value x = b.Cast(n.In(first), DType::kF32);
  if (n.Has(first + 2)) x = b.Sub(x, b.Reshape(b.Cast(n.In(first + 2), DType::kF32), {}));
  return b.Mul(x, b.Reshape(n.In(first + 1), {}));
}

Results Quantized(OpNode& n, Value y, int scale) {
  GraphBuilder& b = n.b;
  const Element to = n.element(0);
  const auto range = LimitsOf(to);
  if (!range) return Unimplemented("operand 0 is ", Name(to));
  n.SetElement(0, to);
  Value zero;
  if (n.Has(scale + 1)) zero = b.Reshape(b.Cast(n.In(scale + 1), DType::kF32), {});
  return One(Rounded(b, b.Div(y, b.Reshape(n.In(scale), {})), zero, *range, n.dtype(0)));
}

template <OpKind kKind>
Results QLinearBinary(OpNode& n) {
  return Quantized(n, n.b.Emit(kKind, {Real(n, 0), Real(n, 3)}), 6);
}
Results QLinearSigmoid(OpNode& n) {
  return Quantized(n, n.b.Unary(OpKind::kSigmoid, Real(n, 0)), 3);
}
Results QLinearLeakyRelu(OpNode& n) {
  const Value x = Real(n, 0);
  const Value low = n.b.Mul(x, Like(n.b, x, n.Float("alpha", 0.01)));
  return Quantized(n, n.b.Where(n.b.Emit(OpKind::kLt, {x, Like(n.b, x, 0)}), low, x), 3);
}
Results QLinearGlobalAveragePool(OpNode& n) {
  if (n.Int("channels_last", 0) != 0) return Unimplemented("channels_last has to be 0");
  std::vector<int64_t> axes;
  for (int i = 2; i < n.rank(0); ++i) axes.push_back(i);
  return Quantized(n, n.b.Reduce(OpKind::kReduceMean, Real(n, 0), axes, true), 3);
}

// --- MatMulNBits: weights of 4 or 8 bits in blocks along k ---

absl::StatusOr<Value> UnpackNibbles(GraphBuilder& b, Value packed) {
  const Shape shape = ShapeOf(b, packed);
  const Value high = b.Div(packed, Like(b, packed, 16));
  const Value low = b.Sub(packed, b.Mul(high, Like(b, packed, 16)));
  Shape pair = shape, joined = shape;
  pair.push_back(Dim(1));
  joined.back() = joined.back() * Dim(2);
  const auto axis = static_cast<int64_t>(shape.size());
  return b.Reshape(b.Concat({b.Reshape(low, pair), b.Reshape(high, pair)}, axis), joined);
}

Results MatMulNBits(OpNode& n) {
  GraphBuilder& b = n.b;
  const int64_t k = n.Int("K", 0), cols = n.Int("N", 0), bits = n.Int("bits", 4);
  const int64_t block = n.Int("block_size", 0);
  if (bits != 4 && bits != 8) return Unimplemented("bits is ", bits, "; supported are 4, 8");
  if (k < 1 || cols < 1 || block < 1 || k > INT32_MAX || block > k + 65536)
    return InvalidArgument("K, N, block_size are ", k, ", ", cols, ", ", block);
  if (n.Has(4)) return Unimplemented("g_idx is not supported");
  const int64_t blocks = (k + block - 1) / block;
  const DType real = n.dtype(0);
  Value codes = b.Reshape(n.In(1), {cols, blocks * block * bits / 8});
  if (bits == 4) {
    RLX_ASSIGN(codes, UnpackNibbles(b, codes));
  }
  Value w = b.Reshape(b.Cast(codes, Wide(real)), {cols, blocks, block});
  Value zero = b.Scalar(Wide(real), bits == 4 ? 8 : 128);
  if (n.Has(3) && IsFloat(n.dtype(3))) {
    zero = b.Reshape(To(b, n.In(3), Wide(real)), {cols, blocks, 1});
  } else if (n.Has(3)) {
    Value points = b.Reshape(n.In(3), {cols, bits == 4 ? (blocks + 1) / 2 : blocks});
    if (bits == 4) {
      RLX_ASSIGN(points, UnpackNibbles(b, points));
      points = b.Narrow(points, 1, 0, blocks);
    }
    zero = b.Reshape(b.Cast(points, Wide(real)), {cols, blocks, 1});
  }
  const Value scale = b.Reshape(To(b, n.In(2), Wide(real)), {cols, blocks, 1});
  w = b.Reshape(b.Mul(b.Sub(w, zero), scale), {cols, blocks * block});
  if (blocks * block != k) w = b.Narrow(w, 1, 0, k);
  Value out = b.MatMul(n.In(0), b.Transpose(To(b, w, real), {1, 0}));
  if (n.Has(5)) out = b.Add(out, n.In(5));
  return One(out);
}

constexpr std::string_view kQLinearConv = "auto_pad dilations group kernel_shape pads strides";

constexpr OpRow kRows[] = {
    {kOnnx, "DequantizeLinear", 10, INT32_MAX, 2, 3, "axis block_size output_dtype",
     DequantizeLinear, nullptr, Carries::kSelf},
    {kOnnx, "DynamicQuantizeLinear", 11, INT32_MAX, 1, 1, "", DynamicQuantize},
    {kOnnx, "MatMulInteger", 10, INT32_MAX, 2, 4, "", MatMulInteger},
    {kOnnx, "QLinearConv", 10, INT32_MAX, 8, 9, kQLinearConv, QLinearConv},
    {kOnnx, "QLinearMatMul", 10, INT32_MAX, 8, 8, "", QLinearMatMul},
    {kOnnx, "QuantizeLinear", 10, INT32_MAX, 2, 3,
     "axis block_size output_dtype precision saturate", QuantizeLinear, nullptr, Carries::kSelf},
    {kMicrosoft, "DequantizeLinear", 1, INT32_MAX, 2, 3, "axis block_size output_dtype",
     DequantizeLinear, nullptr, Carries::kSelf},
    {kMicrosoft, "MatMulNBits", 1, INT32_MAX, 3, 6, "K N accuracy_level bits block_size",
     MatMulNBits, nullptr, Carries::kNo, "4 and 8 bits, no g_idx"},
    {kMicrosoft, "QLinearAdd", 1, INT32_MAX, 7, 8, "", QLinearBinary<OpKind::kAdd>},
    {kMicrosoft, "QLinearGlobalAveragePool", 1, INT32_MAX, 4, 5, "channels_last",
     QLinearGlobalAveragePool},
    {kMicrosoft, "QLinearLeakyRelu", 1, INT32_MAX, 4, 5, "alpha", QLinearLeakyRelu},
    {kMicrosoft, "QLinearMul", 1, INT32_MAX, 7, 8, "", QLinearBinary<OpKind::kMul>},
    {kMicrosoft, "QLinearSigmoid", 1, INT32_MAX, 4, 5, "", QLinearSigmoid},
    {kMicrosoft, "QuantizeLinear", 1, INT32_MAX, 2, 3,
     "axis block_size output_dtype precision saturate", QuantizeLinear, nullptr, Carries::kSelf},
};

}  // namespace

std::span<const OpRow> QuantizeOps() { return kRows; }

}  // namespace rlx::onnx
