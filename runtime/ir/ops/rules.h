// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <optional>

#include "absl/status/statusor.h"
#include "runtime/ir/evaluate.h"
#include "runtime/ir/op_info.h"

namespace rlx {

// What op rows share: checks for inference, index walks for evaluation, draws for samples. Messages
// name the operand or attribute; the caller adds the node.

// Equal dims pass, unequal constants fail (`k differs (64 vs 32)`); any other pair is recorded as a
// constraint.
absl::Status RequireEqual(InferContext& ctx, const Dim& a, const Dim& b, std::string_view what);

// Operand `i`, called `name`, has exactly this shape (dim by dim, as RequireEqual).
absl::Status RequireShape(InferContext& ctx, int i, std::string_view name, const Shape& shape);

// Operand `i` broadcasts to `shape`, right-aligned, without stretching it.
absl::Status RequireBroadcastsTo(InferContext& ctx, int i, std::string_view name, const Shape& from,
                                 const Shape& shape);

// Exactly `count` operands; `what` says which, for the message.
absl::Status RequireOperands(const InferContext& ctx, int count, std::string_view what);

// Operands [0, count) have one float dtype (bf16, f16, f32, f64).
absl::Status RequireFloats(const InferContext& ctx, int count);

// The attribute eps is not negative.
absl::Status RequireEpsilon(const Node& node);

// Optional attributes without a default in their row.
std::optional<double> MaybeFloat(const Node& node, std::string_view name);
std::optional<int64_t> MaybeInt(const Node& node, std::string_view name);

// The attributes of `node` that `specs` names: what a block hands to an op inside it.
std::vector<Attr> PickAttrs(const Node& node, std::span<const AttrSpec> specs);

// Evaluation of a composite whose meaning is its decomposition.
absl::Status EvaluateDecomposed(EvalContext& ctx);

// The values, or the builder's first error.
absl::StatusOr<std::vector<Value>> Lowered(const GraphBuilder& builder, std::vector<Value> values);

// The element count of static dims[from, to), for values that exist in memory.
int64_t Product(const std::vector<int64_t>& dims, size_t from = 0, size_t to = SIZE_MAX);

// Steps `index` through `dims` in row-major order; false (and all zero) after the last.
bool NextIndex(std::vector<int64_t>& index, const std::vector<int64_t>& dims);

// Where the element that broadcasting puts at `index` stands in a tensor of `dims` (right-aligned,
// extent 1 stretches, `dims` no longer than `index`).
int64_t BroadcastOffset(const std::vector<int64_t>& index, const std::vector<int64_t>& dims);

// Draws for samples: the same sequence on every platform.
int64_t Draw(Rng& rng, int64_t low, int64_t high);  // inclusive
bool Flip(Rng& rng);
template <class T>
T Pick(Rng& rng, std::initializer_list<T> choices) {
  return choices.begin()[Draw(rng, 0, static_cast<int64_t>(choices.size()) - 1)];
}
OpSample::Operand FloatOperand(Shape shape, double low = -2, double high = 2);

}  // namespace rlx
