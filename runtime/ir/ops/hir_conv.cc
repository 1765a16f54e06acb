// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/ops/attention.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

// The taps of w, [c,k] or [c,1,k] or [c,1,1,k].
absl::StatusOr<int64_t> Taps(InferContext& ctx, const Dim& channels) {
  const TensorType& w = ctx.operands[1];
  const auto bad = [&] {
    return InvalidArgument("w is ", w, " where [", channels, ",1,k] with k of 2 or more is needed");
  };
  if (w.rank() < 2 || w.rank() > 4 || !w.shape.back().is_static()) return bad();
  Shape want(w.rank(), 1);
  want.front() = channels;
  want.back() = w.shape.back();
  if (w.shape.back().value() < 2) return bad();
  RLX_TRY(RequireShape(ctx, 1, "w", want));
  return w.shape.back().value();
}

absl::Status InferDepthwise(InferContext& ctx) {
  RLX_TRY(RequireFloats(ctx, static_cast<int>(ctx.operands.size())));
  const TensorType& x = ctx.operands[0];
  if (x.rank() != 3 || !x.shape[2].is_static()) {
    return InvalidArgument("x is ", x,
                           " where [batch, seq, channels] with a constant number of "
                           "channels is needed");
  }
  RLX_ASSIGN(const int64_t taps, Taps(ctx, x.shape[2]));
  const Shape pad = {x.shape[0], taps - 1, x.shape[2]};
  if (ctx.operands.size() > 2) RLX_TRY(RequireShape(ctx, 2, "left_pad", pad));
  ctx.results = {x, {x.dtype, pad}};
  return absl::OkStatus();
}

// The last `count` rows of [b, s, c], for a symbolic s too.
Value LastRows(GraphBuilder& b, Value x, int64_t count) {
  const Dim length = b.type(x).shape[1];
  if (length.is_static()) return b.Narrow(x, 1, length.value() - count, count);
  const Value ones = b.Expand(b.Scalar(DType::kI32, 1), {length - Dim(count)});
  const Value first = b.Reduce(OpKind::kReduceSum, ones, {0}, true);
  return b.Gather(x, b.Add(Iota(b, count, DType::kI32), first), 1);
}

absl::StatusOr<std::vector<Value>> LowerDepthwise(GraphBuilder& b, const Node& node) {
  RLX_TRY(b.status());
  const Value x = node.operands[0], w = node.operands[1];
  const Shape shape = b.type(x).shape;
  const int64_t taps = b.type(w).shape.back().value();
  const Shape pad = {shape[0], taps - 1, shape[2]};
  const Value left =
      node.operands.size() > 2 ? node.operands[2] : b.Expand(b.Scalar(b.type(x).dtype, 0), pad);
  const Value padded = b.Concat({left, x}, 1);
  const Value weight = b.type(w).rank() == 3 ? w : b.Reshape(w, {shape[2], 1, taps});
  const Value conv = b.Emit(OpKind::kConv, {b.Transpose(padded, {0, 2, 1}), weight},
                            {{"strides", std::vector<int64_t>{1}},
                             {"pads", std::vector<int64_t>{0, 0}},
                             {"dilations", std::vector<int64_t>{1}},
                             {"groups", shape[2].value()}});
  RLX_TRY(b.status());
  return Lowered(b, {b.Transpose(conv, {0, 2, 1}), LastRows(b, padded, taps - 1)});
}

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kHirDepthwiseConv1dCausal,
     .name = "depthwise_conv1d_causal",
     .claim = "",
     .op_class = OpClass::kBlock,
     .level = Stage::kHir,
     .min_operands = 2,
     .max_operands = 3,
     .results = 2,
     .infer = InferDepthwise,
     .decompose = LowerDepthwise,
     .doc = "(x [b,s,c], w [c,1,k] or [c,1,1,k][, left_pad [b,k-1,c]]): y[t] = sum over j of "
            "w[j]·xs[t + j] in each channel, xs being left_pad (zeros if absent), then x; results "
            "are y [b,s,c] and the last k-1 rows of xs, the left_pad of the next call"},
};

}  // namespace

std::span<const OpInfo> HirConvOps() { return kTable; }

}  // namespace rlx
