// SPDX-License-Identifier: Apache-2.0
// Norms, resizing, transposed convolution and rotary positions of image models, over [n,c,h,w].
#include <algorithm>
#include <cmath>

#include "runtime/base/checked.h"
#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/ops/elementwise.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/normalization.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

using Ints = std::vector<int64_t>;
using Values = std::vector<Value>;

constexpr int64_t kMost = int64_t{1} << 20;  // far past any real window or grid

DType Wide(DType dtype) { return ByteWidth(dtype) < 4 ? DType::kF32 : dtype; }

Value To(GraphBuilder& b, Value x, DType dtype) {
  return b.type(x).dtype == dtype ? x : b.Cast(x, dtype);
}

absl::Status RequireRank4(const InferContext& ctx, int i, std::string_view name) {
  if (ctx.operands[i].rank() == 4) return absl::OkStatus();
  return InvalidArgument(name, " has rank ", ctx.operands[i].rank(), " where 4 is needed");
}

// --- layer_norm2d, group_norm

absl::Status InferChannelNorm(InferContext& ctx) {
  RLX_TRY(RequireFloats(ctx, 3));
  RLX_TRY(RequireRank4(ctx, 0, "x"));
  RLX_TRY(RequireEpsilon(ctx.node));
  const TensorType& x = ctx.operands[0];
  RLX_TRY(RequireShape(ctx, 1, "gamma", {x.shape[1]}));
  RLX_TRY(RequireShape(ctx, 2, "beta", {x.shape[1]}));
  ctx.results = {x};
  return absl::OkStatus();
}

absl::Status InferGroupNorm(InferContext& ctx) {
  RLX_TRY(InferChannelNorm(ctx));
  const Dim channels = ctx.operands[0].shape[1];
  const int64_t groups = ctx.node.Int("num_groups");
  if (channels.is_static() && channels.value() % groups == 0) return absl::OkStatus();
  return InvalidArgument("the ", channels, " channels are not a multiple of ", groups, " groups");
}

// Normalizes the elements that `same` puts together: calls each(member) for those of a set.
struct Moments {
  double mean, scale;
};
template <class Each>
Moments MomentsOf(const EvalTensor& x, double eps, Each&& each) {
  double sum = 0, square = 0;
  int64_t count = 0;
  each([&](int64_t at) {
    sum += x.f[at];
    ++count;
  });
  const double mean = sum / static_cast<double>(count);
  each([&](int64_t at) { square += (x.f[at] - mean) * (x.f[at] - mean); });
  return {mean, 1 / std::sqrt(square / static_cast<double>(count) + eps)};
}

absl::Status EvaluateLayerNorm2d(EvalContext& ctx) {
  const EvalTensor& x = *ctx.operands[0];
  const int64_t channels = x.dims[1], inner = x.dims[2] * x.dims[3];
  for (int64_t n = 0; n < x.dims[0]; ++n) {
    for (int64_t p = 0; p < inner; ++p) {
      const auto each = [&](auto&& visit) {
        for (int64_t c = 0; c < channels; ++c) visit((n * channels + c) * inner + p);
      };
      const Moments m = MomentsOf(x, ctx.node.Float("eps"), each);
      each([&](int64_t at) {
        const int64_t c = at / inner % channels;
        ctx.results[0].f[at] =
            (x.f[at] - m.mean) * m.scale * ctx.operands[1]->f[c] + ctx.operands[2]->f[c];
      });
    }
  }
  return absl::OkStatus();
}

absl::Status EvaluateGroupNorm(EvalContext& ctx) {
  const EvalTensor& x = *ctx.operands[0];
  const int64_t channels = x.dims[1], inner = x.dims[2] * x.dims[3];
  const int64_t size = channels / ctx.node.Int("num_groups") * inner;
  for (int64_t first = 0; first < x.size(); first += size) {
    const auto each = [&](auto&& visit) {
      for (int64_t k = 0; k < size; ++k) visit(first + k);
    };
    const Moments m = MomentsOf(x, ctx.node.Float("eps"), each);
    each([&](int64_t at) {
      const int64_t c = at / inner % channels;
      ctx.results[0].f[at] =
          (x.f[at] - m.mean) * m.scale * ctx.operands[1]->f[c] + ctx.operands[2]->f[c];
    });
  }
  return absl::OkStatus();
}

// x normalized over `axes` of its shape.
Value Normalized(GraphBuilder& b, Value x, const Ints& axes, double eps) {
  const Value centred = b.Sub(x, b.Reduce(OpKind::kReduceMean, x, axes, true));
  const Value variance = b.Reduce(OpKind::kReduceMean, b.Mul(centred, centred), axes, true);
  const Value epsilon = b.Scalar(b.type(x).dtype, eps);
  return b.Mul(centred, b.Unary(OpKind::kRsqrt, b.Add(variance, epsilon)));
}

absl::StatusOr<Values> Scaled(GraphBuilder& b, const Node& node, Value unit) {
  const TensorType& type = node.results[0];
  const auto channelwise = [&](Value v) {
    return b.Reshape(To(b, v, Wide(type.dtype)), {type.shape[1], 1, 1});
  };
  const Value out =
      b.Add(b.Mul(unit, channelwise(node.operands[1])), channelwise(node.operands[2]));
  return Lowered(b, {To(b, out, type.dtype)});
}

absl::StatusOr<Values> DecomposeLayerNorm2d(GraphBuilder& b, const Node& node) {
  const Value x = To(b, node.operands[0], Wide(node.results[0].dtype));
  return Scaled(b, node, Normalized(b, x, {1}, node.Float("eps")));
}

absl::StatusOr<Values> DecomposeGroupNorm(GraphBuilder& b, const Node& node) {
  const Shape& s = node.results[0].shape;
  const int64_t groups = node.Int("num_groups"), size = s[1].value() / groups;
  const Value x = To(b, node.operands[0], Wide(node.results[0].dtype));
  const Value grouped = b.Reshape(x, {s[0], groups, Dim(size) * s[2] * s[3]});
  return Scaled(b, node, b.Reshape(Normalized(b, grouped, {2}, node.Float("eps")), s));
}

OpSample SampleLayerNorm2d(Rng& rng) {
  const int64_t c = Draw(rng, 1, 9);
  return {{FloatOperand({Draw(rng, 1, 3), c, Draw(rng, 1, 5), Draw(rng, 1, 5)}), FloatOperand({c}),
           FloatOperand({c})},
          {{"eps", 1e-5}}};
}

OpSample SampleGroupNorm(Rng& rng) {
  const int64_t groups = Draw(rng, 1, 3), c = groups * Draw(rng, 1, 4);
  return {{FloatOperand({Draw(rng, 1, 3), c, Draw(rng, 1, 5), Draw(rng, 1, 5)}), FloatOperand({c}),
           FloatOperand({c})},
          {{"num_groups", groups}, {"eps", 1e-5}}};
}

// --- resize_nearest2x

absl::Status InferResize(InferContext& ctx) {
  RLX_TRY(RequireRank4(ctx, 0, "x"));
  TensorType out = ctx.operands[0];
  out.shape[2] = out.shape[2] * Dim(2);
  out.shape[3] = out.shape[3] * Dim(2);
  ctx.results = {std::move(out)};
  return absl::OkStatus();
}

absl::Status EvaluateResize(EvalContext& ctx) {
  const EvalTensor& x = *ctx.operands[0];
  EvalTensor& out = ctx.results[0];
  const int64_t h = out.dims[2], w = out.dims[3];
  const auto source = [&](int64_t k) {
    return (k / (h * w) * (h / 2) + k / w % h / 2) * (w / 2) + k % w / 2;
  };
  for (int64_t k = 0; k < out.size(); ++k) {
    if (IsExact(x.dtype)) {
      out.i[k] = x.i[source(k)];
    } else if (x.dtype == DType::kC64) {
      for (int64_t part : {0, 1}) out.f[2 * k + part] = x.f[2 * source(k) + part];
    } else {
      out.f[k] = x.f[source(k)];
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Values> DecomposeResize(GraphBuilder& b, const Node& node) {
  RLX_TRY(b.status());
  const Shape s = b.type(node.operands[0]).shape;
  const Value spread = b.Reshape(node.operands[0], {s[0], s[1], s[2], 1, s[3], 1});
  const Value doubled = b.Expand(spread, {s[0], s[1], s[2], 2, s[3], 2});
  return Lowered(b, {b.Reshape(doubled, node.results[0].shape)});
}

OpSample SampleResize(Rng& rng) {
  const DType dtype = DrawAny(rng);
  return {{AnyOperand(dtype, {Draw(rng, 1, 3), Draw(rng, 1, 4), Draw(rng, 1, 6), Draw(rng, 1, 6)})},
          {}};
}

// --- conv_transpose2d

// The window over one spatial dim.
struct Slide {
  int64_t kernel, stride, begin, end, dilation, extra;
  Slide(const Node& node, int64_t kernel_extent, size_t d)
      : kernel(kernel_extent),
        stride(node.Ints("strides")[d]),
        begin(node.Ints("pads")[d]),
        end(node.Ints("pads")[d + 2]),
        dilation(node.Ints("dilations")[d]),
        extra(node.Ints("output_padding")[d]) {}
};

absl::Status CheckLengths(const Node& node) {
  constexpr std::pair<std::string_view, size_t> kLists[] = {
      {"strides", 2}, {"pads", 4}, {"dilations", 2}, {"output_padding", 2}};
  for (const auto& [name, length] : kLists) {
    if (node.Ints(name).size() == length) continue;
    return InvalidArgument(name, " has ", node.Ints(name).size(), " entries where ", length,
                           " are needed");
  }
  return absl::OkStatus();
}

absl::Status InferConvTranspose(InferContext& ctx) {
  RLX_TRY(RequireFloats(ctx, static_cast<int>(ctx.operands.size())));
  RLX_TRY(RequireRank4(ctx, 0, "x"));
  RLX_TRY(RequireRank4(ctx, 1, "weight"));
  RLX_TRY(CheckLengths(ctx.node));
  const TensorType &x = ctx.operands[0], &w = ctx.operands[1];
  const int64_t groups = ctx.node.Int("groups");
  for (const Dim& dim : w.shape)
    if (!dim.is_static() || dim.value() > kMost)
      return InvalidArgument("the weight's extent ", dim, " is not constant, or too large");
  RLX_TRY(RequireEqual(ctx, x.shape[1], w.shape[0], "channel count"));
  if (w.shape[0].value() % groups != 0)
    return InvalidArgument("the ", w.shape[0], " channels are not a multiple of ", groups,
                           " groups");
  TensorType out{x.dtype, {x.shape[0], w.shape[1] * Dim(groups)}};
  if (ctx.operands.size() > 2) RLX_TRY(RequireShape(ctx, 2, "bias", {out.shape[1]}));
  for (size_t d = 0; d < 2; ++d) {
    const Slide s(ctx.node, w.shape[d + 2].value(), d);
    if (s.extra >= std::max(s.stride, s.dilation))
      return InvalidArgument("output_padding ", s.extra, " is not less than stride or dilation");
    const Dim reach = Dim(s.dilation) * Dim(s.kernel - 1) + Dim(s.extra + 1);
    const Dim size = (x.shape[d + 2] - Dim(1)) * Dim(s.stride) + reach - Dim(s.begin) - Dim(s.end);
    if (size.is_static() && !size.is_overflow() && size.value() < 1)
      return InvalidArgument("spatial dim ", d, " becomes ", size);
    out.shape.push_back(size);
  }
  ctx.results = {std::move(out)};
  return absl::OkStatus();
}

absl::Status EvaluateConvTranspose(EvalContext& ctx) {
  const EvalTensor &x = *ctx.operands[0], &w = *ctx.operands[1];
  EvalTensor& out = ctx.results[0];
  const int64_t groups = ctx.node.Int("groups"), in_group = x.dims[1] / groups;
  const int64_t out_group = w.dims[1];
  const Slide sh(ctx.node, w.dims[2], 0), sw(ctx.node, w.dims[3], 1);
  for (int64_t n = 0; n < x.dims[0]; ++n)
    for (int64_t c = 0; c < x.dims[1]; ++c)
      for (int64_t o = 0; o < out_group; ++o)
        for (int64_t i = 0; i < x.dims[2] * x.dims[3]; ++i)
          for (int64_t t = 0; t < w.dims[2] * w.dims[3]; ++t) {
            const int64_t r = i / x.dims[3] * sh.stride + t / w.dims[3] * sh.dilation - sh.begin;
            const int64_t s = i % x.dims[3] * sw.stride + t % w.dims[3] * sw.dilation - sw.begin;
            if (r < 0 || s < 0 || r >= out.dims[2] || s >= out.dims[3]) continue;
            const int64_t channel = c / in_group * out_group + o;
            out.f[((n * out.dims[1] + channel) * out.dims[2] + r) * out.dims[3] + s] +=
                x.f[(n * x.dims[1] + c) * x.dims[2] * x.dims[3] + i] *
                w.f[(c * out_group + o) * w.dims[2] * w.dims[3] + t];
          }
  if (ctx.operands.size() < 3) return absl::OkStatus();
  const int64_t inner = Product(out.dims, 2);
  for (int64_t k = 0; k < out.size(); ++k) out.f[k] += ctx.operands[2]->f[k / inner % out.dims[1]];
  return absl::OkStatus();
}

// x with stride - 1 zeros after every element of `axis`.
Value Dilated(GraphBuilder& b, Value x, int64_t axis, int64_t stride) {
  if (stride == 1 || !b.status().ok()) return x;
  Shape apart = b.type(x).shape, together = apart;
  apart.insert(apart.begin() + axis + 1, Dim(1));
  Shape gap = apart;
  gap[axis + 1] = stride - 1;
  together[axis] = together[axis] * Dim(stride);
  const Value zeros = b.Expand(b.Scalar(b.type(x).dtype, 0), gap);
  return b.Reshape(b.Concat({b.Reshape(x, apart), zeros}, axis + 1), together);
}

Value Reversed(GraphBuilder& b, Value x, int64_t axis) {
  if (!b.status().ok()) return x;
  Ints order(b.type(x).shape[axis].value());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(order.size() - 1 - i);
  const Ints dims = {static_cast<int64_t>(order.size())};
  return b.Gather(x, b.Constant(HostTensor::FromInts(DType::kI32, dims, order)), axis);
}

// [c_in, c_out/groups, ..] as the weight of the convolution that undoes it: [c_out, c_in/groups,
// ..], turned round.
Value TurnedWeight(GraphBuilder& b, Value w, int64_t groups) {
  const Shape s = b.type(w).shape;
  const Dim in(s[0].value() / groups);
  w = b.Reshape(w, {groups, in, s[1], s[2], s[3]});
  w = b.Transpose(w, {0, 2, 1, 3, 4});
  w = b.Reshape(w, {Dim(groups) * s[1], in, s[2], s[3]});
  return Reversed(b, Reversed(b, w, 2), 3);
}

// Spread by the strides, then convolved with the turned weight. What the padding takes away is cut
// from x where the kernel does not reach so far.
absl::StatusOr<Values> DecomposeConvTranspose(GraphBuilder& b, const Node& node) {
  RLX_TRY(b.status());
  Value x = node.operands[0];
  const Shape kernel = b.type(node.operands[1]).shape;
  Ints pads(4);
  for (size_t d = 0; d < 2; ++d) {
    const Slide s(node, kernel[d + 2].value(), d);
    const auto axis = static_cast<int64_t>(d) + 2;
    x = Dilated(b, x, axis, s.stride);
    const int64_t reach = s.dilation * (s.kernel - 1);
    int64_t begin = reach - s.begin, end = reach - s.end + s.extra - (s.stride - 1);
    if (begin < 0 || end < 0) {
      RLX_TRY(b.status());
      const Dim size = b.type(x).shape[axis];
      if (!size.is_static()) return Unimplemented("cutting extent ", size, " of a symbol");
      const int64_t first = std::max<int64_t>(0, -begin), cut = std::max<int64_t>(0, -end);
      if (first + cut >= size.value()) return Unimplemented("padding that leaves nothing of x");
      x = b.Narrow(x, axis, first, size.value() - first - cut);
    }
    pads[d] = std::max<int64_t>(0, begin);
    pads[d + 2] = std::max<int64_t>(0, end);
  }
  Values operands = {x, TurnedWeight(b, node.operands[1], node.Int("groups"))};
  if (node.operands.size() > 2) operands.push_back(node.operands[2]);
  return Lowered(b, {b.Emit(OpKind::kConv, std::move(operands),
                            {{"strides", Ints{1, 1}},
                             {"pads", std::move(pads)},
                             {"dilations", node.Ints("dilations")},
                             {"groups", node.Int("groups")}})});
}

OpSample SampleConvTranspose(Rng& rng) {
  const int64_t groups = Draw(rng, 1, 2), in = groups * Draw(rng, 1, 3), out = Draw(rng, 1, 3);
  const Ints strides = {Draw(rng, 1, 3), Draw(rng, 1, 3)};
  const Ints kernel = {Draw(rng, 1, 3), Draw(rng, 1, 3)};
  OpSample sample{{FloatOperand({Draw(rng, 1, 2), in, Draw(rng, 3, 6), Draw(rng, 3, 6)}),
                   FloatOperand({in, out, kernel[0], kernel[1]})},
                  {{"strides", strides},
                   {"pads", Ints{Draw(rng, 0, 1), Draw(rng, 0, 1), Draw(rng, 0, 1), 0}},
                   {"dilations", Ints{Draw(rng, 1, 2), 1}},
                   {"output_padding", Ints{Draw(rng, 0, strides[0] - 1), 0}},
                   {"groups", groups}}};
  if (Flip(rng)) sample.operands.push_back(FloatOperand({groups * out}));
  return sample;
}

// --- axial_rope2d

struct Axial {
  int64_t end_x, end_y, heads, width, repeat;
  double theta;
  explicit Axial(const Node& node)
      : end_x(node.Int("end_x")),
        end_y(node.Int("end_y")),
        heads(node.Int("num_heads")),
        width(node.Int("head_dim")),
        repeat(node.Int("repeat_factor")),
        theta(node.Float("theta")) {}

  // The angle of pair i of a head at `token`: the first half turns with x, the second with y.
  double Angle(int64_t token, int64_t i) const {
    const int64_t position = token / repeat, half = width / 4;
    const int64_t along = i < half ? position % end_x : position / end_x;
    const double exponent = -4.0 * static_cast<double>(i % half) / static_cast<double>(width);
    return static_cast<double>(along) * std::pow(theta, exponent);
  }
};

absl::Status InferAxialRope(InferContext& ctx) {
  const TensorType& x = ctx.operands[0];
  const Axial a(ctx.node);
  RLX_TRY(RequireFloats(ctx, 1));
  if (x.rank() != 3) return InvalidArgument("x has rank ", x.rank(), " where 3 is needed");
  if (a.width % 4 != 0) return InvalidArgument("head_dim ", a.width, " is not a multiple of 4");
  if (!(a.theta > 0)) return InvalidArgument("theta is ", a.theta, ", not above 0");
  const auto tokens = CheckedProduct(Ints{a.end_x, a.end_y, a.repeat});
  if (!tokens) return InvalidArgument("the grid is too large");
  const Shape want = {x.shape[0], *tokens, Dim(a.heads) * Dim(a.width)};
  RLX_TRY(RequireShape(ctx, 0, "x", want));
  ctx.results = {{x.dtype, want}};
  return absl::OkStatus();
}

absl::Status EvaluateAxialRope(EvalContext& ctx) {
  const EvalTensor& x = *ctx.operands[0];
  const Axial a(ctx.node);
  for (int64_t k = 0; k < x.size(); k += 2) {
    const int64_t token = k / x.dims[2] % x.dims[1];
    const double angle = a.Angle(token, k % a.width / 2);
    const double c = std::cos(angle), s = std::sin(angle);
    ctx.results[0].f[k] = x.f[k] * c - x.f[k + 1] * s;
    ctx.results[0].f[k + 1] = x.f[k] * s + x.f[k + 1] * c;
  }
  return absl::OkStatus();
}

constexpr int64_t kMostAngles = int64_t{1} << 22;  // what a constant may hold

absl::StatusOr<Values> DecomposeAxialRope(GraphBuilder& b, const Node& node) {
  const TensorType& type = node.results[0];
  const Axial a(node);
  const int64_t tokens = type.shape[1].value(), pairs = a.width / 2;
  if (tokens > kMostAngles / pairs) return Unimplemented("a table of ", tokens, " tokens");
  std::vector<double> cosines, sines;
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t i = 0; i < pairs; ++i) {
      cosines.push_back(std::cos(a.Angle(t, i)));
      sines.push_back(std::sin(a.Angle(t, i)));
    }
  }
  const DType wide = Wide(type.dtype);
  const Ints table = {tokens, 1, pairs, 1};
  const Value c = b.Constant(HostTensor::FromDoubles(wide, table, cosines));
  const Value s = b.Constant(HostTensor::FromDoubles(wide, table, sines));
  const Value x =
      b.Reshape(To(b, node.operands[0], wide), {type.shape[0], tokens, a.heads, pairs, 2});
  const Value even = b.Narrow(x, -1, 0, 1), odd = b.Narrow(x, -1, 1, 1);
  const Value out =
      b.Concat({b.Sub(b.Mul(even, c), b.Mul(odd, s)), b.Add(b.Mul(even, s), b.Mul(odd, c))}, -1);
  return Lowered(b, {To(b, b.Reshape(out, type.shape), type.dtype)});
}

OpSample SampleAxialRope(Rng& rng) {
  const int64_t x = Draw(rng, 1, 4), y = Draw(rng, 1, 4), heads = Draw(rng, 1, 3);
  const int64_t width = 4 * Draw(rng, 1, 4), repeat = Draw(rng, 1, 2);
  return {{FloatOperand({Draw(rng, 1, 2), x * y * repeat, heads * width})},
          {{"end_x", x},
           {"end_y", y},
           {"head_dim", width},
           {"num_heads", heads},
           {"theta", 10000.0},
           {"repeat_factor", repeat}}};
}

// --- Rows

constexpr AttrSpec Count(std::string_view name, std::string_view doc) {
  return {.name = name, .type = AttrType::kInt, .min = 1, .max = kMost, .doc = doc};
}
constexpr AttrSpec List(std::string_view name, int64_t min, std::string_view doc) {
  return {.name = name, .type = AttrType::kInts, .min = min, .max = kMost, .doc = doc};
}
constexpr AttrSpec kGroupNormAttrs[] = {Count("num_groups", "divides the channels"), kEpsAttr};
constexpr AttrSpec kConvTransposeAttrs[] = {
    List("strides", 1, "two"),
    List("pads", 0, "begins, then ends: cut from the result"),
    List("dilations", 1, "two"),
    List("output_padding", 0, "two: more of the result at the end"),
    {.name = "groups",
     .type = AttrType::kInt,
     .required = false,
     .fallback = int64_t{1},
     .min = 1,
     .max = kMost,
     .doc = "divides both channel counts"},
};
constexpr AttrSpec kAxialAttrs[] = {
    Count("end_x", "columns of the grid"),
    Count("end_y", "rows of the grid"),
    Count("head_dim", "head width, a multiple of 4"),
    Count("num_heads", "heads"),
    {.name = "theta", .type = AttrType::kFloat, .doc = "base of the frequencies"},
    {.name = "repeat_factor",
     .type = AttrType::kInt,
     .required = false,
     .fallback = int64_t{1},
     .min = 1,
     .max = kMost,
     .doc = "tokens that share a position"},
};

constexpr OpInfo Row(OpKind kind, std::string_view name, std::string_view claim, int least,
                     int most, std::span<const AttrSpec> attrs,
                     absl::Status (*infer)(InferContext&), absl::Status (*evaluate)(EvalContext&),
                     absl::StatusOr<Values> (*decompose)(GraphBuilder&, const Node&),
                     OpSample (*sample)(Rng&), std::string_view doc) {
  return {.kind = kind,
          .name = name,
          .claim = claim,
          .op_class = OpClass::kComposite,
          .min_operands = least,
          .max_operands = most,
          .attrs = attrs,
          .infer = infer,
          .evaluate = evaluate,
          .decompose = decompose,
          .sample = sample,
          .doc = doc};
}

constexpr OpInfo kTable[] = {
    Row(OpKind::kLayerNorm2d, "layer_norm2d", "LayerNorm2d", 3, 3, std::span(&kEpsAttr, 1),
        InferChannelNorm, EvaluateLayerNorm2d, DecomposeLayerNorm2d, SampleLayerNorm2d,
        "(x [n,c,h,w], gamma [c], beta [c]): layer_norm over the channels of each pixel"),
    Row(OpKind::kGroupNorm, "group_norm", "GroupNorm", 3, 3, kGroupNormAttrs, InferGroupNorm,
        EvaluateGroupNorm, DecomposeGroupNorm, SampleGroupNorm,
        "(x [n,c,h,w], gamma [c], beta [c]): normalized over each of `num_groups` groups of "
        "channels of each image, then scaled by channel"),
    Row(OpKind::kResizeNearest2x, "resize_nearest2x", "ResizeNearest2x", 1, 1, {}, InferResize,
        EvaluateResize, DecomposeResize, SampleResize,
        "(x [n,c,h,w]): every pixel as a square of two by two"),
    Row(OpKind::kConvTranspose2d, "conv_transpose2d", "ConvTranspose2d", 2, 3, kConvTransposeAttrs,
        InferConvTranspose, EvaluateConvTranspose, DecomposeConvTranspose, SampleConvTranspose,
        "(x [n,c_in,h,w], weight [c_in,c_out/groups,kh,kw][, bias [c_out]]): the transpose of "
        "conv; an extent becomes (in - 1)·stride + dilation·(k - 1) + output_padding + 1 - pads"),
    Row(OpKind::kAxialRope2d, "axial_rope2d", "AxialRope2d", 1, 1, kAxialAttrs, InferAxialRope,
        EvaluateAxialRope, DecomposeAxialRope, SampleAxialRope,
        "(x [b,end_x·end_y·repeat,h·d]): adjacent pairs (a, b) turn by an angle, (a·cos - b·sin, "
        "a·sin + b·cos); those of the first half of a head by its column, the others by its row; "
        "pair i of a half has frequency theta^(-4i/head_dim)"),
};

}  // namespace

std::span<const OpInfo> VisionOps() { return kTable; }

}  // namespace rlx
