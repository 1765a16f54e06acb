// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "runtime/ir/evaluate.h"
#include "runtime/ir/op_info.h"

namespace rlx {

inline constexpr std::string_view kMaskNames[] = {"none", "causal", "sliding_window", "keep",
                                                  "bias"};
inline constexpr int64_t kMostHeads = int64_t{1} << 20;

// Shared by attention and by the HIR blocks that contain one.
inline constexpr AttrSpec kAttentionAttrs[] = {
    {.name = "num_heads",
     .type = AttrType::kInt,
     .min = 1,
     .max = kMostHeads,
     .doc = "query heads"},
    {.name = "num_kv_heads",
     .type = AttrType::kInt,
     .required = false,
     .min = 1,
     .max = kMostHeads,
     .doc = "key and value heads, dividing num_heads; absent: num_heads"},
    {.name = "head_dim",
     .type = AttrType::kInt,
     .min = 1,
     .max = kMostHeads,
     .doc = "width of a query and key head"},
    {.name = "mask",
     .type = AttrType::kString,
     .required = false,
     .fallback = std::string_view("none"),
     .choices = kMaskNames,
     .doc = "which keys a query sees; `keep` and `bias` take a mask operand"},
    {.name = "window",
     .type = AttrType::kInt,
     .required = false,
     .min = 0,
     .max = int64_t{1} << 30,
     .doc = "with sliding_window: how many keys before its own a query sees"},
    {.name = "scale",
     .type = AttrType::kFloat,
     .required = false,
     .doc = "of the scores; absent: 1/√head_dim"},
    {.name = "softcap",
     .type = AttrType::kFloat,
     .required = false,
     .fallback = 0.0,
     .doc = "c > 0 turns a score s into c·tanh(s/c) before masking; 0: none"},
};

inline constexpr AttrSpec kRopeAttrs[] = {
    {.name = "head_dim", .type = AttrType::kInt, .min = 1, .max = kMostHeads, .doc = "head width"},
    {.name = "n_rot",
     .type = AttrType::kInt,
     .required = false,
     .min = 2,
     .max = kMostHeads,
     .doc = "leading dims of a head that rotate, even; absent: head_dim"},
};

// The extents of an attention. The rank of q decides the layout: 3 is [B,S,H·D] with the heads
// interleaved, 4 is [B,H,S,D].
struct AttentionDims {
  bool heads_first = false;  // rank 4
  Dim batch, q_len, k_len;
  int64_t heads = 0, kv_heads = 0, head_dim = 0, v_head_dim = 0;
};

// Where head h, row s of a [B,S,H·D] or [B,H,S,D] tensor starts.
struct HeadView {
  const std::vector<int64_t>& dims;
  int64_t width;  // of a head

  int64_t At(int64_t b, int64_t h, int64_t s) const {
    if (dims.size() == 4) return ((b * dims[1] + h) * dims[2] + s) * width;
    return (b * dims[1] + s) * dims[2] + h * width;
  }
};

int64_t KvHeads(const Node& node);      // num_kv_heads or its default
int64_t RotaryDims(const Node& node);   // n_rot or its default
double ScoreScale(const Node& node);    // scale or its default
bool HasMaskOperand(const Node& node);  // mask is keep or bias

// Head counts, window, scale and softcap.
absl::Status CheckAttentionAttrs(const Node& node);
// n_rot: even, at most head_dim.
absl::Status CheckRotaryDims(const Node& node);
// The mask operand `i` of attention over [batch, heads, q_len, k_len].
absl::Status CheckMask(InferContext& ctx, int i, const AttentionDims& dims);
// Operands cos, cos + 1 (sin) and, unless -1, positions, for x over [batch, length].
absl::Status CheckRotaryTables(InferContext& ctx, int cos, int positions, const Dim& batch,
                               const Dim& length);

// The dims of verified operands.
AttentionDims ReadAttention(const Node& node, const TensorType& q, const TensorType& k,
                            const TensorType& v);
// A mask as [1 or B, 1 or H, 1 or Sq, 1 or Sk]: a keep mask of rank 2 is [B, Sk].
Shape MaskShape4(const Node& node, const Shape& mask);

// 0, 1, … n-1, for a symbolic n too.
Value Iota(GraphBuilder& b, const Dim& n, DType dtype);
// The indices as i64, of which one outside [0, extent) fails the run in the name of op `of`. Only a
// gather checks: what computes with an index before a gather sees it, or without one, takes this.
Value CheckedIndices(GraphBuilder& b, Value indices, const Dim& extent, std::string_view of);

absl::Status InferAttention(InferContext& ctx);
absl::StatusOr<std::vector<Value>> DecomposeAttention(GraphBuilder& b, const Node& node);

absl::Status InferRope(InferContext& ctx);
absl::Status EvaluateRope(EvalContext& ctx);
absl::StatusOr<std::vector<Value>> DecomposeRope(GraphBuilder& b, const Node& node);
OpSample SampleRope(Rng& rng);

}  // namespace rlx
