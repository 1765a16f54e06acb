// SPDX-License-Identifier: Apache-2.0
// Linear quantization to 8 bits, and products of 8-bit integers: sums in i32, one rounding at the
// end.
#include <algorithm>
#include <cmath>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

using Ints = std::vector<int64_t>;
using Floats = std::vector<double>;

struct Range {
  int64_t low, high;
};
Range RangeOf8(DType dtype) { return dtype == DType::kU8 ? Range{0, 255} : Range{-128, 127}; }

bool IsByte(DType dtype) { return dtype == DType::kI8 || dtype == DType::kU8; }

// Scales and zero points: one, or one for each index along `axis`.
absl::Status CheckScales(const InferContext& ctx) {
  const Floats& scales = ctx.node.Floats("scales");
  const Ints& zeros = ctx.node.Ints("zero_points");
  if (scales.size() != zeros.size())
    return InvalidArgument("there are ", scales.size(), " scales and ", zeros.size(),
                           " zero points");
  for (double scale : scales)
    if (!(scale > 0)) return InvalidArgument("a scale is ", scale, ", not above 0");
  const auto axis = MaybeInt(ctx.node, "axis");
  const Dim channels = axis ? ctx.operands[0].shape[*axis] : Dim(1);
  if (channels == Dim(static_cast<int64_t>(scales.size()))) return absl::OkStatus();
  return InvalidArgument("there are ", scales.size(), " scales for ", channels, " channels");
}

// The scale or zero point of element `at`.
size_t Channel(const Node& node, const Ints& dims, int64_t at) {
  const auto axis = MaybeInt(node, "axis");
  return axis ? static_cast<size_t>(at / Product(dims, *axis + 1) % dims[*axis]) : 0;
}

// Per-channel numbers as a constant that broadcasts along `axis` of `rank` dims.
Value ChannelConstant(GraphBuilder& b, const Node& node, int rank, DType dtype,
                      const Floats& values) {
  Ints dims;
  if (const auto axis = MaybeInt(node, "axis")) {
    dims.assign(rank - *axis, 1);
    dims[0] = static_cast<int64_t>(values.size());
  }
  return b.Constant(HostTensor::FromDoubles(dtype, std::move(dims), values));
}

Floats ZeroPoints(const Node& node) {
  const Ints& zeros = node.Ints("zero_points");
  return {zeros.begin(), zeros.end()};
}

DType Wide(DType dtype) { return ByteWidth(dtype) < 4 ? DType::kF32 : dtype; }

Value To(GraphBuilder& b, Value x, DType dtype) {
  return b.type(x).dtype == dtype ? x : b.Cast(x, dtype);
}

// x saturated to `to`, rounded first: halves to the even side.
Value Saturated(GraphBuilder& b, Value x, DType to) {
  const DType dtype = b.type(x).dtype;
  const Range range = RangeOf8(to);
  const Value low = b.Scalar(dtype, static_cast<double>(range.low));
  const Value high = b.Scalar(dtype, static_cast<double>(range.high));
  return b.Cast(b.Emit(OpKind::kMin, {b.Max(x, low), high}), to);
}

int64_t Saturate(double value, DType to) {
  const Range range = RangeOf8(to);
  return static_cast<int64_t>(
      std::clamp(value, static_cast<double>(range.low), static_cast<double>(range.high)));
}

// --- quantize, dequantize

absl::Status InferQuantize(InferContext& ctx) {
  RLX_TRY(RequireFloats(ctx, 1));
  RLX_TRY(CheckScales(ctx));
  const DType to = ctx.node.Type("to");
  if (!IsByte(to)) return InvalidArgument("to is ", to, " where i8 or u8 is needed");
  ctx.results = {{to, ctx.operands[0].shape}};
  return absl::OkStatus();
}

// A scale is what x's type holds of it.
absl::Status EvaluateQuantize(EvalContext& ctx) {
  const EvalTensor& x = *ctx.operands[0];
  const DType wide = Wide(x.dtype), to = ctx.node.Type("to");
  for (int64_t k = 0; k < x.size(); ++k) {
    const size_t c = Channel(ctx.node, x.dims, k);
    const double scale = RoundTo(wide, ctx.node.Floats("scales")[c]);
    const auto zero = static_cast<double>(ctx.node.Ints("zero_points")[c]);
    const double value = std::nearbyint(x.f[k] / scale) + zero;
    ctx.results[0].i[k] = std::isnan(value) ? 0 : Saturate(value, to);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Value>> DecomposeQuantize(GraphBuilder& b, const Node& node) {
  RLX_TRY(b.status());
  const int rank = node.results[0].shape.empty() ? 0 : node.results[0].rank();
  const DType wide = Wide(b.type(node.operands[0]).dtype);
  const Value x = To(b, node.operands[0], wide);
  const Value scale = ChannelConstant(b, node, rank, wide, node.Floats("scales"));
  const Value zero = ChannelConstant(b, node, rank, wide, ZeroPoints(node));
  const Value steps = b.Unary(OpKind::kRound, b.Div(x, scale));
  return Lowered(b, {Saturated(b, b.Add(steps, zero), node.Type("to"))});
}

absl::Status InferDequantize(InferContext& ctx) {
  const TensorType& x = ctx.operands[0];
  if (!IsByte(x.dtype) && x.dtype != DType::kI32)
    return InvalidArgument("x is ", x.dtype, " where i8, u8 or i32 is needed");
  RLX_TRY(CheckScales(ctx));
  const DType to = ctx.node.Type("to");
  if (!IsFloat(to)) return InvalidArgument("to is ", to, " where a float is needed");
  ctx.results = {{to, x.shape}};
  return absl::OkStatus();
}

absl::Status EvaluateDequantize(EvalContext& ctx) {
  const EvalTensor& x = *ctx.operands[0];
  const DType wide = Wide(ctx.node.Type("to"));
  for (int64_t k = 0; k < x.size(); ++k) {
    const size_t c = Channel(ctx.node, x.dims, k);
    const double scale = RoundTo(wide, ctx.node.Floats("scales")[c]);
    const auto centred = static_cast<double>(x.i[k] - ctx.node.Ints("zero_points")[c]);
    ctx.results[0].f[k] = centred * scale;
  }
  return absl::OkStatus();
}

// i32 less a zero point may need more digits than f32 has, so it is taken in integers.
absl::StatusOr<std::vector<Value>> DecomposeDequantize(GraphBuilder& b, const Node& node) {
  const int rank = node.results[0].rank();
  const DType to = node.Type("to"), wide = Wide(to);
  const Value zero = ChannelConstant(b, node, rank, DType::kI32, ZeroPoints(node));
  const Value centred = b.Sub(To(b, node.operands[0], DType::kI32), zero);
  const Value scale = ChannelConstant(b, node, rank, wide, node.Floats("scales"));
  return Lowered(b, {To(b, b.Mul(b.Cast(centred, wide), scale), to)});
}

// A random `axis`, scales and zero points for it.
std::vector<Attr> DrawScales(Rng& rng, const Shape& shape, int64_t low, int64_t high) {
  std::vector<Attr> attrs;
  int64_t channels = 1;
  if (!shape.empty() && Flip(rng)) {
    const int64_t axis = Draw(rng, 0, static_cast<int64_t>(shape.size()) - 1);
    channels = shape[axis].value();
    attrs.push_back({"axis", axis});
  }
  Floats scales;
  Ints zeros;
  for (int64_t c = 0; c < channels; ++c) {
    scales.push_back(static_cast<double>(Draw(rng, 1, 64)) / 1024);
    zeros.push_back(Draw(rng, low, high));
  }
  attrs.push_back({"scales", std::move(scales)});
  attrs.push_back({"zero_points", std::move(zeros)});
  return attrs;
}

Shape DrawDims(Rng& rng) {
  Shape shape;
  for (int64_t d = Draw(rng, 0, 3); d > 0; --d) shape.push_back(Draw(rng, 1, 9));
  return shape;
}

OpSample SampleQuantize(Rng& rng) {
  Shape shape = DrawDims(rng);
  const DType to = Pick(rng, {DType::kI8, DType::kU8});
  std::vector<Attr> attrs = DrawScales(rng, shape, to == DType::kU8 ? 0 : -20, 20);
  attrs.push_back({"to", to});
  return {{FloatOperand(std::move(shape), -4, 4)}, std::move(attrs)};
}

OpSample SampleDequantize(Rng& rng) {
  Shape shape = DrawDims(rng);
  std::vector<Attr> attrs = DrawScales(rng, shape, -20, 20);
  attrs.push_back({"to", DType::kF32});
  return {{{.type = {Pick(rng, {DType::kI8, DType::kU8, DType::kI32}), std::move(shape)},
            .low = 0,
            .high = 127}},
          std::move(attrs)};
}

// --- qmatmul, qconv2d

// (acc·multiplier, rounded) + zero point, saturated to i8, where acc is the i32 sum.
int64_t Requantize(const Node& node, int64_t acc, size_t channel) {
  const Floats& multipliers = node.Floats("multipliers");
  const double multiplier = multipliers[multipliers.size() == 1 ? 0 : channel];
  const auto sum = static_cast<double>(WrapToInt(DType::kI32, acc));
  return Saturate(std::nearbyint(sum * multiplier) + static_cast<double>(node.Int("out_zp")),
                  DType::kI8);
}

absl::Status CheckProduct(InferContext& ctx, const Dim& channels) {
  for (int i = 0; i < 2; ++i)
    if (ctx.operands[i].dtype != DType::kI8)
      return InvalidArgument("operand ", i, " is ", ctx.operands[i].dtype, " where i8 is needed");
  if (ctx.operands[2].dtype != DType::kI32)
    return InvalidArgument("bias is ", ctx.operands[2].dtype, " where i32 is needed");
  RLX_TRY(RequireShape(ctx, 2, "bias", {channels}));
  const Floats& multipliers = ctx.node.Floats("multipliers");
  const auto count = static_cast<int64_t>(multipliers.size());
  if (count != 1 && channels != Dim(count))
    return InvalidArgument("there are ", count, " multipliers for ", channels, " channels");
  for (double multiplier : multipliers)
    if (!(multiplier > 0)) return InvalidArgument("a multiplier is ", multiplier, ", not above 0");
  return absl::OkStatus();
}

// The i32 sums `acc` as the op's result; the multipliers' constant has `tail` dims after its own.
Value EmitRequantize(GraphBuilder& b, const Node& node, Value acc, int tail) {
  const Floats& multipliers = node.Floats("multipliers");
  Ints dims;
  if (multipliers.size() > 1) {
    dims.assign(tail + 1, 1);
    dims[0] = static_cast<int64_t>(multipliers.size());
  }
  const Value scale = b.Constant(HostTensor::FromDoubles(DType::kF64, dims, multipliers));
  const Value scaled = b.Unary(OpKind::kRound, b.Mul(b.Cast(acc, DType::kF64), scale));
  const Value zero = b.Scalar(DType::kF64, static_cast<double>(node.Int("out_zp")));
  return Saturated(b, b.Add(scaled, zero), DType::kI8);
}

Value Centred(GraphBuilder& b, Value x, int64_t zero, DType to) {
  const Value wide = b.Cast(x, DType::kI32);
  const Value centred =
      zero == 0 ? wide : b.Sub(wide, b.Scalar(DType::kI32, static_cast<double>(zero)));
  return To(b, centred, to);
}

absl::Status InferQMatMul(InferContext& ctx) {
  const TensorType &x = ctx.operands[0], &w = ctx.operands[1];
  if (x.rank() < 2) return InvalidArgument("x has rank ", x.rank(), " where 2 or more are needed");
  if (w.rank() != 2) return InvalidArgument("w has rank ", w.rank(), " where 2 is needed");
  RLX_TRY(RequireEqual(ctx, x.shape.back(), w.shape[0], "k"));
  RLX_TRY(CheckProduct(ctx, w.shape[1]));
  TensorType out = x;
  out.shape.back() = w.shape[1];
  ctx.results = {std::move(out)};
  return absl::OkStatus();
}

absl::Status EvaluateQMatMul(EvalContext& ctx) {
  const EvalTensor &x = *ctx.operands[0], &w = *ctx.operands[1], &bias = *ctx.operands[2];
  const int64_t k = w.dims[0], n = w.dims[1], rows = x.size() / k;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t j = 0; j < n; ++j) {
      int64_t acc = bias.i[j];
      for (int64_t p = 0; p < k; ++p)
        acc += (x.i[row * k + p] - ctx.node.Int("x_zp")) * (w.i[p * n + j] - ctx.node.Int("w_zp"));
      ctx.results[0].i[row * n + j] = Requantize(ctx.node, acc, static_cast<size_t>(j));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Value>> DecomposeQMatMul(GraphBuilder& b, const Node& node) {
  const Value x = Centred(b, node.operands[0], node.Int("x_zp"), DType::kI32);
  const Value w = Centred(b, node.operands[1], node.Int("w_zp"), DType::kI32);
  return Lowered(b, {EmitRequantize(b, node, b.Add(b.MatMul(x, w), node.operands[2]), 0)});
}

OpSample::Operand I8(Shape shape) {
  return {.type = {DType::kI8, std::move(shape)}, .low = -128, .high = 127};
}

// Bias, zero points and multipliers for `channels`.
void DrawProduct(Rng& rng, int64_t channels, OpSample& sample) {
  sample.operands.push_back({.type = {DType::kI32, {channels}}, .low = -5000, .high = 5000});
  Floats multipliers(Flip(rng) ? 1 : channels);
  for (double& m : multipliers) m = static_cast<double>(Draw(rng, 1, 100)) / 8192;
  for (std::string_view name : {"x_zp", "w_zp", "out_zp"})
    sample.attrs.push_back({std::string(name), Draw(rng, -30, 30)});
  sample.attrs.push_back({"multipliers", std::move(multipliers)});
}

OpSample SampleQMatMul(Rng& rng) {
  const int64_t m = Draw(rng, 1, 9), k = Draw(rng, 1, 40), n = Draw(rng, 1, 12);
  OpSample sample{{I8(Flip(rng) ? Shape{2, m, k} : Shape{m, k}), I8({k, n})}, {}};
  DrawProduct(rng, n, sample);
  return sample;
}

// The conv inside a qconv2d: its attributes on f64, where every sum of 8-bit products is exact.
Node PlainConv(const Node& node) {
  Node conv;
  conv.op = OpKind::kConv;
  for (const char* name : {"strides", "pads", "dilations", "groups"})
    conv.attrs.push_back({name, *node.Find(name)});
  return conv;
}

absl::Status InferQConv2d(InferContext& ctx) {
  if (ctx.operands[0].rank() != 4)
    return InvalidArgument("x has rank ", ctx.operands[0].rank(), " where 4 is needed");
  if (ctx.operands[1].rank() != 4)
    return InvalidArgument("w has rank ", ctx.operands[1].rank(), " where 4 is needed");
  RLX_TRY(CheckProduct(ctx, ctx.operands[1].shape[0]));
  const Node conv = PlainConv(ctx.node);
  InferContext plain{
      conv, {{DType::kF64, ctx.operands[0].shape}, {DType::kF64, ctx.operands[1].shape}}, {}, {}};
  RLX_TRY(Info(OpKind::kConv).infer(plain));
  ctx.constraints.insert(ctx.constraints.end(), plain.constraints.begin(), plain.constraints.end());
  ctx.results = {{DType::kI8, plain.results[0].shape}};
  return absl::OkStatus();
}

EvalTensor CentredDoubles(const EvalTensor& x, int64_t zero) {
  EvalTensor out = EvalTensor::Zeros(DType::kF64, x.dims);
  for (int64_t k = 0; k < x.size(); ++k) out.f[k] = static_cast<double>(x.i[k] - zero);
  return out;
}

absl::Status EvaluateQConv2d(EvalContext& ctx) {
  const EvalTensor x = CentredDoubles(*ctx.operands[0], ctx.node.Int("x_zp"));
  const EvalTensor w = CentredDoubles(*ctx.operands[1], ctx.node.Int("w_zp"));
  EvalTensor& out = ctx.results[0];
  Node conv = PlainConv(ctx.node);
  conv.results = {{DType::kF64, Shape(out.dims.begin(), out.dims.end())}};
  RLX_ASSIGN(const std::vector<EvalTensor> sums, EvaluateNode(conv, {&x, &w}));
  const int64_t inner = Product(out.dims, 2);
  for (int64_t k = 0; k < out.size(); ++k) {
    const int64_t channel = k / inner % out.dims[1];
    const int64_t acc = static_cast<int64_t>(sums[0].f[k]) + ctx.operands[2]->i[channel];
    out.i[k] = Requantize(ctx.node, acc, static_cast<size_t>(channel));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Value>> DecomposeQConv2d(GraphBuilder& b, const Node& node) {
  const Value x = Centred(b, node.operands[0], node.Int("x_zp"), DType::kF64);
  const Value w = Centred(b, node.operands[1], node.Int("w_zp"), DType::kF64);
  const Value sums = b.Emit(OpKind::kConv, {x, w}, PlainConv(node).attrs);
  RLX_TRY(b.status());
  const Dim channels = b.type(node.operands[2]).shape[0];
  const Value bias = b.Reshape(node.operands[2], {channels, 1, 1});
  const Value acc = b.Add(b.Cast(sums, DType::kI32), bias);
  return Lowered(b, {EmitRequantize(b, node, acc, 2)});
}

OpSample SampleQConv2d(Rng& rng) {
  const int64_t groups = Pick<int64_t>(rng, {1, 1, 2}), per_group = Draw(rng, 1, 3);
  const int64_t out = groups * Draw(rng, 1, 3), kernel = Draw(rng, 1, 3);
  OpSample sample{{I8({Draw(rng, 1, 2), groups * per_group, Draw(rng, 5, 8), Draw(rng, 5, 8)}),
                   I8({out, per_group, kernel, kernel})},
                  {{"strides", Ints{Draw(rng, 1, 2), Draw(rng, 1, 2)}},
                   {"pads", Ints(4, Draw(rng, 0, 1))},
                   {"dilations", Ints{1, Draw(rng, 1, 2)}},
                   {"groups", groups}}};
  DrawProduct(rng, out, sample);
  return sample;
}

// --- Rows

constexpr AttrSpec kAxisAttr = {.name = "axis",
                                .type = AttrType::kInt,
                                .required = false,
                                .axis = AxisRule::kAxis,
                                .doc = "the axis that scales differ along; absent: one scale"};
constexpr AttrSpec kScalesAttr = {
    .name = "scales", .type = AttrType::kFloats, .doc = "one, or one for each index along `axis`"};
constexpr AttrSpec kZerosAttr = {.name = "zero_points",
                                 .type = AttrType::kInts,
                                 .min = -255,
                                 .max = 255,
                                 .doc = "as many as scales"};
constexpr AttrSpec kQuantizeAttrs[] = {
    kAxisAttr,
    kScalesAttr,
    kZerosAttr,
    {.name = "to", .type = AttrType::kDType, .doc = "i8 or u8"},
};
constexpr AttrSpec kDequantizeAttrs[] = {
    kAxisAttr,
    kScalesAttr,
    kZerosAttr,
    {.name = "to", .type = AttrType::kDType, .doc = "the result's element type, a float"},
};
constexpr AttrSpec ZeroPointAttr(std::string_view name, std::string_view doc) {
  return {.name = name,
          .type = AttrType::kInt,
          .required = false,
          .fallback = int64_t{0},
          .min = -128,
          .max = 127,
          .doc = doc};
}
constexpr AttrSpec kXZero = ZeroPointAttr("x_zp", "what zero is in x");
constexpr AttrSpec kWZero = ZeroPointAttr("w_zp", "what zero is in w");
constexpr AttrSpec kOutZero = ZeroPointAttr("out_zp", "what zero is in the result");
constexpr AttrSpec kMultipliers = {
    .name = "multipliers",
    .type = AttrType::kFloats,
    .doc = "scale of x · scale of w / scale of the result: one, or one for each output channel"};
constexpr AttrSpec kQMatMulAttrs[] = {kXZero, kWZero, kOutZero, kMultipliers};
constexpr int64_t kMost = int64_t{1} << 30;
constexpr AttrSpec kQConvAttrs[] = {
    {.name = "strides", .type = AttrType::kInts, .min = 1, .max = kMost, .doc = "two"},
    {.name = "pads",
     .type = AttrType::kInts,
     .min = 0,
     .max = kMost,
     .doc = "begins, then ends; filled with x_zp"},
    {.name = "dilations", .type = AttrType::kInts, .min = 1, .max = kMost, .doc = "two"},
    {.name = "groups",
     .type = AttrType::kInt,
     .required = false,
     .fallback = int64_t{1},
     .min = 1,
     .max = kMost,
     .doc = "divides both channel counts"},
    kXZero,
    kWZero,
    kOutZero,
    kMultipliers,
};

constexpr OpInfo Row(OpKind kind, std::string_view name, std::string_view claim, int operands,
                     std::span<const AttrSpec> attrs, absl::Status (*infer)(InferContext&),
                     absl::Status (*evaluate)(EvalContext&),
                     absl::StatusOr<std::vector<Value>> (*decompose)(GraphBuilder&, const Node&),
                     OpSample (*sample)(Rng&), std::string_view doc) {
  return {.kind = kind,
          .name = name,
          .claim = claim,
          .op_class = OpClass::kComposite,
          .min_operands = operands,
          .max_operands = operands,
          .attrs = attrs,
          .infer = infer,
          .evaluate = evaluate,
          .decompose = decompose,
          .sample = sample,
          .doc = doc};
}

constexpr OpInfo kTable[] = {
    Row(OpKind::kQuantize, "quantize", "Quantize", 1, kQuantizeAttrs, InferQuantize,
        EvaluateQuantize, DecomposeQuantize, SampleQuantize,
        "(x): round(x/scale) + zero point, saturated to `to`; halves to the even side, NaN is 0"),
    Row(OpKind::kDequantize, "dequantize", "Dequantize", 1, kDequantizeAttrs, InferDequantize,
        EvaluateDequantize, DecomposeDequantize, SampleDequantize, "(x): (x - zero point)·scale"),
    Row(OpKind::kQMatMul, "qmatmul", "QMatMul", 3, kQMatMulAttrs, InferQMatMul, EvaluateQMatMul,
        DecomposeQMatMul, SampleQMatMul,
        "(x i8 [..,k], w i8 [k,n], bias i32 [n]): acc = Σ (x - x_zp)·(w - w_zp) + bias in i32; "
        "round(acc·multiplier) + out_zp, saturated to i8"),
    Row(OpKind::kQConv2d, "qconv2d", "QConv2d", 3, kQConvAttrs, InferQConv2d, EvaluateQConv2d,
        DecomposeQConv2d, SampleQConv2d,
        "(x i8 [n,c_in,h,w], w i8 [c_out,c_in/groups,kh,kw], bias i32 [c_out]): as qmatmul over "
        "the windows of conv"),
};

}  // namespace

std::span<const OpInfo> QuantizeOps() { return kTable; }

}  // namespace rlx
