// SPDX-License-Identifier: Apache-2.0
// Convolution and pooling over [N, C, spatial...] with any number of spatial dims.
#include <algorithm>
#include <limits>

#include "runtime/base/checked.h"
#include "runtime/base/status.h"
#include "runtime/ir/ops/convolution.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

using Ints = std::vector<int64_t>;

// How a window slides over the spatial dims.
struct Window {
  Ints kernel, strides, pads, dilations;  // pads: begins, then ends

  size_t rank() const { return kernel.size(); }
};

absl::Status RequireLength(const Ints& list, size_t length, std::string_view name) {
  if (list.size() == length) return absl::OkStatus();
  return InvalidArgument(name, " has ", list.size(), " entries where ", length, " are needed");
}

absl::Status CheckWindow(const Window& w, size_t rank) {
  RLX_TRY(RequireLength(w.kernel, rank, "kernel"));
  if (!CheckedProduct(w.kernel)) return InvalidArgument("the kernel is too large");
  RLX_TRY(RequireLength(w.strides, rank, "strides"));
  RLX_TRY(RequireLength(w.pads, 2 * rank, "pads"));
  return RequireLength(w.dilations, rank, "dilations");
}

// (in + pads - dilation·(k - 1) - 1) floordiv stride + 1 for each spatial dim, in Dim arithmetic:
// symbols stay and overflow is caught.
absl::Status AppendWindowed(const Window& w, const Shape& in, Shape& out) {
  for (size_t d = 0; d < w.rank(); ++d) {
    const Dim padded = in[d + 2] + Dim(w.pads[d]) + Dim(w.pads[d + w.rank()]);
    const Dim reach = Dim(w.dilations[d]) * (Dim(w.kernel[d]) - Dim(1)) + Dim(1);
    const Dim slack = padded - reach;
    if (slack.is_overflow()) return InvalidArgument("spatial dim ", d, " is too large");
    if (slack.is_static() && slack.value() < 0) {
      return InvalidArgument("the window spans ", reach, " of spatial dim ", d, ", which has ",
                             padded, " with padding");
    }
    out.push_back(FloorDiv(slack, Dim(w.strides[d])) + Dim(1));
  }
  return absl::OkStatus();
}

// The taps along spatial dim `d` that lie inside `extent`, for an output position: [first, last).
struct Taps {
  int64_t first, last;
};
Taps TapsInside(const Window& w, size_t d, int64_t out, int64_t extent) {
  const int64_t start = out * w.strides[d] - w.pads[d], step = w.dilations[d];
  const int64_t first = start >= 0 ? 0 : (-start + step - 1) / step;
  const int64_t last = start >= extent ? 0 : (extent - start + step - 1) / step;
  return {first, std::max(first, std::min(last, w.kernel[d]))};
}

// Calls visit(tap, offset) for every kernel tap of the window at `out` that lies inside `spatial`:
// never more calls than there are inputs, however large the kernel.
template <class Visit>
void ForEachTap(const Window& w, const Ints& spatial, const Ints& out, Visit&& visit) {
  Ints first, count;
  for (size_t d = 0; d < w.rank(); ++d) {
    const Taps taps = TapsInside(w, d, out[d], spatial[d]);
    if (taps.first == taps.last) return;
    first.push_back(taps.first);
    count.push_back(taps.last - taps.first);
  }
  Ints at(w.rank(), 0);
  do {
    int64_t tap = 0, offset = 0;
    for (size_t d = 0; d < w.rank(); ++d) {
      const int64_t k = first[d] + at[d];
      tap = tap * w.kernel[d] + k;
      offset = offset * spatial[d] + out[d] * w.strides[d] + k * w.dilations[d] - w.pads[d];
    }
    visit(tap, offset);
  } while (NextIndex(at, count));
}

Ints Spatial(const Ints& dims) { return Ints(dims.begin() + 2, dims.end()); }

Window ConvWindow(const Node& node, Ints kernel) {
  return {std::move(kernel), node.Ints("strides"), node.Ints("pads"), node.Ints("dilations")};
}

absl::Status CheckChannels(InferContext& ctx, int64_t groups) {
  const Dim in = ctx.operands[0].shape[1], per_group = ctx.operands[1].shape[1];
  const Dim out = ctx.operands[1].shape[0];
  if (!out.is_static() || out.value() % groups != 0) {
    return InvalidArgument("the weight's ", out, " output channels are not a multiple of ", groups,
                           " groups");
  }
  return RequireEqual(ctx, in, per_group * Dim(groups), "channel count");
}

absl::Status InferConv(InferContext& ctx) {
  RLX_TRY(RequireFloats(ctx, static_cast<int>(ctx.operands.size())));
  const TensorType &x = ctx.operands[0], &w = ctx.operands[1];
  if (x.rank() < 3) return InvalidArgument("x has rank ", x.rank(), " where 3 or more are needed");
  if (w.rank() != x.rank()) {
    return InvalidArgument("the weight has rank ", w.rank(), " where x has ", x.rank());
  }
  RLX_TRY(CheckChannels(ctx, ctx.node.Int("groups")));
  Ints kernel;
  for (int d = 2; d < w.rank(); ++d) {
    if (!w.shape[d].is_static())
      return InvalidArgument("the kernel extent ", w.shape[d], " is not constant");
    kernel.push_back(w.shape[d].value());
  }
  const Window window = ConvWindow(ctx.node, std::move(kernel));
  RLX_TRY(CheckWindow(window, window.rank()));
  if (ctx.operands.size() == 3) RLX_TRY(RequireShape(ctx, 2, "bias", {w.shape[0]}));
  TensorType out{x.dtype, {x.shape[0], w.shape[0]}};
  RLX_TRY(AppendWindowed(window, x.shape, out.shape));
  ctx.results = {std::move(out)};
  return absl::OkStatus();
}

absl::Status EvaluateConv(EvalContext& ctx) {
  const EvalTensor &x = *ctx.operands[0], &w = *ctx.operands[1];
  EvalTensor& out = ctx.results[0];
  const Window window = ConvWindow(ctx.node, Spatial(w.dims));
  const Ints in_space = Spatial(x.dims), out_space = Spatial(out.dims);
  const int64_t in_size = Product(in_space), taps = Product(window.kernel);
  const int64_t per_group = w.dims[1], group_out = w.dims[0] / ctx.node.Int("groups");
  Ints at(window.rank(), 0);
  size_t to = 0;
  for (int64_t n = 0; n < x.dims[0]; ++n) {
    for (int64_t c = 0; c < w.dims[0]; ++c) {
      const int64_t first = n * x.dims[1] + c / group_out * per_group;
      do {
        double sum = ctx.operands.size() == 3 ? ctx.operands[2]->f[c] : 0;
        ForEachTap(window, in_space, at, [&](int64_t tap, int64_t offset) {
          for (int64_t k = 0; k < per_group; ++k) {
            sum += x.f[(first + k) * in_size + offset] * w.f[(c * per_group + k) * taps + tap];
          }
        });
        out.f[to++] = sum;
      } while (NextIndex(at, out_space));
    }
  }
  return absl::OkStatus();
}

Ints DrawInts(Rng& rng, size_t count, int64_t low, int64_t high) {
  Ints list(count);
  for (int64_t& value : list) value = Draw(rng, low, high);
  return list;
}

OpSample SampleConv(Rng& rng) {
  const bool many = Draw(rng, 0, 3) == 0;  // channels, so that transformed tiles may pay
  const size_t rank = many ? 2 : Draw(rng, 1, 3);
  const int64_t groups = many ? 1 : Pick<int64_t>(rng, {1, 1, 2, 3});
  const int64_t per_group = many ? Draw(rng, 32, 40) : Draw(rng, 1, 3);
  const bool depthwise = groups > 1 && Flip(rng);
  const int64_t in = groups * (depthwise ? 1 : per_group);
  const int64_t out = groups * (many ? Draw(rng, 32, 40) : Draw(rng, 1, 3));
  Shape x = {Draw(rng, 1, 2), in}, w = {out, in / groups};
  for (size_t d = 0; d < rank; ++d) {
    x.push_back(Draw(rng, 5, 9));
    w.push_back(many ? 3 : Draw(rng, 1, 3));
  }
  OpSample sample{{FloatOperand(std::move(x)), FloatOperand(std::move(w))},
                  {{"strides", DrawInts(rng, rank, 1, many ? 1 : 3)},
                   {"pads", DrawInts(rng, 2 * rank, 0, 2)},
                   {"dilations", DrawInts(rng, rank, 1, many ? 1 : 2)},
                   {"groups", groups}}};
  if (Flip(rng)) sample.operands.push_back(FloatOperand({out}));
  return sample;
}

Window PoolWindow(const Node& node) {
  Ints kernel = node.Ints("kernel");
  Ints dilations(kernel.size(), 1);
  return {std::move(kernel), node.Ints("strides"), node.Ints("pads"), std::move(dilations)};
}

absl::Status InferPool(InferContext& ctx) {
  RLX_TRY(RequireFloats(ctx, 1));
  const TensorType& x = ctx.operands[0];
  if (x.rank() < 3) return InvalidArgument("x has rank ", x.rank(), " where 3 or more are needed");
  const Window window = PoolWindow(ctx.node);
  RLX_TRY(CheckWindow(window, x.shape.size() - 2));
  for (size_t i = 0; i < window.pads.size(); ++i) {  // else a window could lie in padding alone
    const int64_t kernel = window.kernel[i % window.rank()];
    if (window.pads[i] < kernel) continue;
    return InvalidArgument("pad ", window.pads[i], " is not less than the kernel extent ", kernel);
  }
  TensorType out{x.dtype, {x.shape[0], x.shape[1]}};
  RLX_TRY(AppendWindowed(window, x.shape, out.shape));
  ctx.results = {std::move(out)};
  return absl::OkStatus();
}

absl::Status EvaluatePool(EvalContext& ctx) {
  const EvalTensor& x = *ctx.operands[0];
  EvalTensor& out = ctx.results[0];
  const Window window = PoolWindow(ctx.node);
  const bool max = ctx.node.Str("mode") == "max";
  const bool whole = ctx.node.Bool("count_include_pad");
  const Ints in_space = Spatial(x.dims), out_space = Spatial(out.dims);
  const int64_t in_size = Product(in_space);
  Ints at(window.rank(), 0);
  size_t to = 0;
  for (int64_t plane = 0; plane < x.dims[0] * x.dims[1]; ++plane) {
    do {
      double sum = 0, top = -std::numeric_limits<double>::infinity();
      int64_t count = 0;
      ForEachTap(window, in_space, at, [&](int64_t, int64_t offset) {
        const double value = x.f[plane * in_size + offset];
        sum += value;
        top = std::max(top, value);
        ++count;
      });
      const int64_t divisor = whole ? Product(window.kernel) : count;
      out.f[to++] = max ? top : sum / static_cast<double>(divisor);
    } while (NextIndex(at, out_space));
  }
  return absl::OkStatus();
}

OpSample SamplePool(Rng& rng) {
  const size_t rank = Draw(rng, 1, 3);
  Shape x = {Draw(rng, 1, 3), Draw(rng, 1, 5)};
  for (size_t d = 0; d < rank; ++d) x.push_back(Draw(rng, 3, 9));
  const Ints kernel = DrawInts(rng, rank, 1, 3);
  Ints pads;
  for (size_t i = 0; i < 2 * rank; ++i) pads.push_back(Draw(rng, 0, kernel[i % rank] - 1));
  return {{FloatOperand(std::move(x))},
          {{"mode", Pick<std::string>(rng, {"max", "mean"})},
           {"kernel", kernel},
           {"strides", DrawInts(rng, rank, 1, 3)},
           {"pads", std::move(pads)},
           {"count_include_pad", Flip(rng)}}};
}

constexpr AttrSpec kConvAttrs[] = {kStridesAttr, kPadsAttr, kDilationsAttr, kGroupsAttr};

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kConv,
     .name = "conv",
     .claim = "Conv",
     .op_class = OpClass::kContraction,
     .min_operands = 2,
     .max_operands = 3,
     .attrs = kConvAttrs,
     .infer = InferConv,
     .evaluate = EvaluateConv,
     .sample = SampleConv,
     .doc = "(x [n,c_in,spatial..], weight [c_out,c_in/groups,kernel..][, bias [c_out]]): "
            "cross-correlation plus bias; an extent becomes (in + pads - dilation·(k-1) - 1) "
            "floordiv stride + 1"},
    {.kind = OpKind::kPool,
     .name = "pool",
     .claim = "Pool",
     .op_class = OpClass::kReduction,
     .min_operands = 1,
     .max_operands = 1,
     .attrs = kPoolAttrs,
     .infer = InferPool,
     .evaluate = EvaluatePool,
     .sample = SamplePool,
     .doc = "(x [n,c,spatial..]): maximum or mean of every window; padding never wins a maximum"},
};

}  // namespace

std::span<const OpInfo> ConvolutionOps() { return kTable; }

}  // namespace rlx
