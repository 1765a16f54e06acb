// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "runtime/base/status.h"
#include "runtime/ir/ops/attention.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

// One of q, k, v: `heads` heads of `width`.
absl::Status CheckHeads(InferContext& ctx, int i, std::string_view name, int64_t heads,
                        int64_t width) {
  const TensorType& type = ctx.operands[i];
  const bool ok = type.rank() == 4 ? type.shape[1] == Dim(heads) && type.shape[3] == Dim(width)
                                   : type.shape[2] == Dim(heads * width);
  if (ok) return absl::OkStatus();
  return InvalidArgument(name, " is ", type, " where ", heads, " heads of ", width, " are needed");
}

absl::Status CheckLayout(const InferContext& ctx) {
  constexpr std::string_view kNames[] = {"q", "k", "v"};
  const int rank = ctx.operands[0].rank();
  if (rank != 3 && rank != 4) {
    return InvalidArgument("q has rank ", rank, " where 3 ([b,s,h·d]) or 4 ([b,h,s,d]) is needed");
  }
  for (int i = 1; i < 3; ++i) {
    if (ctx.operands[i].rank() == rank) continue;
    return InvalidArgument(kNames[i], " has rank ", ctx.operands[i].rank(), " where q has ", rank);
  }
  return absl::OkStatus();
}

// The width of a value head, which may differ from head_dim.
absl::StatusOr<int64_t> ValueHeadDim(const InferContext& ctx, int64_t kv_heads) {
  const TensorType& v = ctx.operands[2];
  const Dim last = v.shape.back();
  const int64_t heads = v.rank() == 4 ? 1 : kv_heads;
  if (last.is_static() && last.value() % heads == 0) return last.value() / heads;
  return InvalidArgument("v is ", v, ", whose last extent does not hold ", kv_heads, " heads");
}

}  // namespace

int64_t KvHeads(const Node& node) {
  return MaybeInt(node, "num_kv_heads").value_or(node.Int("num_heads"));
}

double ScoreScale(const Node& node) {
  return MaybeFloat(node, "scale").value_or(1 / std::sqrt(node.Int("head_dim")));
}

bool HasMaskOperand(const Node& node) {
  return node.Str("mask") == "keep" || node.Str("mask") == "bias";
}

absl::Status CheckAttentionAttrs(const Node& node) {
  const int64_t heads = node.Int("num_heads"), kv_heads = KvHeads(node);
  if (heads % kv_heads != 0) {
    return InvalidArgument("num_heads ", heads, " is not a multiple of num_kv_heads ", kv_heads);
  }
  const bool slides = node.Str("mask") == "sliding_window";
  if (slides && !node.Find("window")) return InvalidArgument("sliding_window needs a window");
  if (!slides && node.Find("window")) {
    return InvalidArgument("window is given but the mask is ", node.Str("mask"));
  }
  const double scale = ScoreScale(node), cap = node.Float("softcap");
  if (!std::isfinite(scale)) return InvalidArgument("scale is ", scale);
  if (!std::isfinite(cap) || cap < 0) return InvalidArgument("softcap is ", cap);
  return absl::OkStatus();
}

absl::Status CheckMask(InferContext& ctx, int i, const AttentionDims& dims) {
  const TensorType& mask = ctx.operands[i];
  const DType want = ctx.node.Str("mask") == "keep" ? DType::kBool : ctx.operands[0].dtype;
  if (mask.dtype != want) {
    return InvalidArgument("the ", ctx.node.Str("mask"), " mask is ", mask.dtype, " where ", want,
                           " is needed");
  }
  return RequireBroadcastsTo(ctx, i, "mask", MaskShape4(ctx.node, mask.shape),
                             {dims.batch, dims.heads, dims.q_len, dims.k_len});
}

AttentionDims ReadAttention(const Node& node, const TensorType& q, const TensorType& k,
                            const TensorType& v) {
  const bool rank4 = q.rank() == 4;
  const int64_t kv_heads = KvHeads(node);
  return {.heads_first = rank4,
          .batch = q.shape[0],
          .q_len = q.shape[rank4 ? 2 : 1],
          .k_len = k.shape[rank4 ? 2 : 1],
          .heads = node.Int("num_heads"),
          .kv_heads = kv_heads,
          .head_dim = node.Int("head_dim"),
          .v_head_dim = v.shape.back().value() / (rank4 ? 1 : kv_heads)};
}

Shape MaskShape4(const Node& node, const Shape& mask) {
  if (mask.size() == 2 && node.Str("mask") == "keep") return {mask[0], 1, 1, mask[1]};
  if (mask.size() >= 4) return mask;
  Shape shape(4 - mask.size(), 1);
  shape.insert(shape.end(), mask.begin(), mask.end());
  return shape;
}

absl::Status InferAttention(InferContext& ctx) {
  const Node& node = ctx.node;
  RLX_TRY(CheckAttentionAttrs(node));
  RLX_TRY(RequireOperands(ctx, HasMaskOperand(node) ? 4 : 3, Cat("mask is ", node.Str("mask"))));
  RLX_TRY(RequireFloats(ctx, 3));
  RLX_TRY(CheckLayout(ctx));
  RLX_TRY(CheckHeads(ctx, 0, "q", node.Int("num_heads"), node.Int("head_dim")));
  RLX_TRY(CheckHeads(ctx, 1, "k", KvHeads(node), node.Int("head_dim")));
  RLX_ASSIGN(const int64_t v_dim, ValueHeadDim(ctx, KvHeads(node)));
  RLX_TRY(CheckHeads(ctx, 2, "v", KvHeads(node), v_dim));
  const TensorType &q = ctx.operands[0], &k = ctx.operands[1], &v = ctx.operands[2];
  const AttentionDims dims = ReadAttention(node, q, k, v);
  RLX_TRY(RequireEqual(ctx, k.shape[0], dims.batch, "batch of k and q"));
  RLX_TRY(RequireEqual(ctx, v.shape[0], dims.batch, "batch of v and q"));
  RLX_TRY(RequireEqual(ctx, v.shape[dims.heads_first ? 2 : 1], dims.k_len, "length of v and k"));
  if (HasMaskOperand(node)) RLX_TRY(CheckMask(ctx, 3, dims));
  TensorType out = q;
  out.shape.back() = dims.heads_first ? v_dim : v_dim * dims.heads;
  ctx.results = {std::move(out)};
  return absl::OkStatus();
}

}  // namespace rlx
