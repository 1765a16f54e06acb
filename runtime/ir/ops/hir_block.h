// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/ops/attention.h"

namespace rlx {

// The operands of a block with many, by name. Which are there follows from the node's attributes.
class BlockOperands {
 public:
  // Appends names, in operand order; with `when` false leaves them out.
  BlockOperands& Add(std::initializer_list<std::string_view> names, bool when = true);
  // Position; -1 when absent.
  int At(std::string_view name) const;
  bool Has(std::string_view name) const { return At(name) >= 0; }
  // The operand; invalid when absent.
  Value Of(const Node& node, std::string_view name) const;

  // As many operands as names: `has 12 operands where 14 are needed (x, ln1_g, …)`.
  absl::Status RequireCount(const InferContext& ctx) const;
  // All but `except` have operand 0's dtype, a float.
  absl::Status RequireFloats(const InferContext& ctx,
                             std::initializer_list<std::string_view> except) const;
  // Those that are there have these shapes.
  absl::Status RequireShapes(
      InferContext& ctx, std::initializer_list<std::pair<std::string_view, Shape>> shapes) const;

 private:
  std::vector<std::string_view> names_;
};

// x of a block: [batch, seq, hidden] with a constant width. Returns that.
absl::StatusOr<int64_t> HiddenSize(const InferContext& ctx, int x = 0);

// An attention whose queries are the rows of x, over `k_len` keys, heads interleaved.
AttentionDims BlockAttention(const Node& node, const Shape& x, const Dim& k_len);

// rope over [b, s, h·d] by the block's attributes; `positions` may be absent.
Value EmitRope(GraphBuilder& b, const Node& node, Value x, Value cos, Value sin, Value positions);

// An rms norm of each head of [b, s, h·d].
Value EmitHeadNorm(GraphBuilder& b, Value x, int64_t head_dim, Value gamma, Value beta, double eps);

// Rows of attribute tables for blocks, taken from those of the ops inside.
consteval AttrSpec Of(std::span<const AttrSpec> specs, std::string_view name) {
  for (const AttrSpec& spec : specs) {
    if (spec.name == name) return spec;
  }
  throw "no such attribute";  // at compile time only
}
constexpr AttrSpec With(AttrSpec spec, std::string_view fallback) {
  spec.fallback = fallback;
  return spec;
}
constexpr AttrSpec Switch(std::string_view name, std::string_view doc) {
  return {.name = name, .type = AttrType::kBool, .required = false, .fallback = false, .doc = doc};
}

}  // namespace rlx
