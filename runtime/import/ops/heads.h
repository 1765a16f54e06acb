// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/import/node.h"

// What the attention ops of several domains have in common.
namespace rlx::onnx {

// [batch, rows, heads·width] → [batch, heads, rows, width]. The width has to be known.
absl::StatusOr<Value> SplitHeads(GraphBuilder& b, Value x, int64_t heads);
// The inverse.
Value JoinHeads(GraphBuilder& b, Value x);

// One attention over [batch, heads, rows, width] operands.
struct AttentionParts {
  Value q, k, v;
  Value keep;           // bool, broadcasts to [batch, heads, rows, keys]; invalid: all
  Value bias;           // added to the scores, likewise; invalid: none
  bool causal = false;  // with as many rows as keys, or aligned at the last
  std::optional<double> scale;
  double softcap = 0;
};
absl::StatusOr<Value> EmitAttention(GraphBuilder& b, const AttentionParts& parts);

// Both hold; an invalid one always does.
Value AndKeep(GraphBuilder& b, Value x, Value y);

// bool [rows, keys]: key - row - offset compared with zero. `offset` is a scalar i64, or
// [batch, 1, 1, 1].
Value KeyMinusRow(GraphBuilder& b, const Dim& rows, const Dim& keys, Value offset);

// `x` [batch, heads, rows, width] turned by rows of cos and sin [rows, n/2] or [batch, rows, n/2],
// n ≤ width.
absl::StatusOr<Value> Rotate(GraphBuilder& b, Value x, Value cos, Value sin, bool interleaved);

}  // namespace rlx::onnx
