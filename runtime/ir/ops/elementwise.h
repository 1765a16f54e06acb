// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "absl/status/status.h"
#include "runtime/ir/evaluate.h"
#include "runtime/ir/op_info.h"

namespace rlx {

// What the rows of elementwise ops and of data movement share.

absl::Status RequireSameDType(const InferContext& ctx, int a, int b);
// Operand `i` has one of the kinds of elements that the op works on.
absl::Status RequireReal(const InferContext& ctx, int i);  // float or integer
absl::Status RequireBool(const InferContext& ctx, int i);
absl::Status RequireIndices(const InferContext& ctx, int i);  // integer

// The inputs of a nested graph have the types of operands `first`, first + 1, …
absl::Status RequireInputs(const Graph& graph, const std::vector<TensorType>& operands, int first);

// One result: the operands' shapes broadcast together, of `dtype`.
absl::Status InferBroadcast(InferContext& ctx, DType dtype);

// Calls fn(k, at) for element k of `out` in row-major order, where at[i] is the element of operand
// i that broadcasting puts there.
template <class Fn>
void ForEachBroadcast(const EvalTensor& out, std::span<const EvalTensor* const> operands, Fn&& fn);

// out[k] = from[at], of any dtype (both have the same).
void CopyElement(const EvalTensor& from, int64_t at, EvalTensor& out, int64_t k);

// A random static shape of min_rank to max_rank axes, and one that broadcasts to `shape`.
Shape DrawShape(Rng& rng, int min_rank, int max_rank);
Shape DrawBroadcastable(Rng& rng, const Shape& shape);
// f32 as often as all integers together, of which it is any; and numbers that it has of `low` to
// `high`, which an unsigned one cuts to 0.
DType DrawReal(Rng& rng);
DType DrawNumber(Rng& rng);  // of those, or c64
OpSample::Operand RealOperand(DType dtype, Shape shape, double low, double high);
// f32 as often as all element types together, and small numbers of any of them.
DType DrawAny(Rng& rng);
OpSample::Operand AnyOperand(DType dtype, Shape shape);

// --- Definitions of templates
// -----------------------------------------------------------------------

// Steps through the elements of `out`, keeping one offset an operand.
class BroadcastWalk {
 public:
  BroadcastWalk(const std::vector<int64_t>& dims, std::span<const EvalTensor* const> operands);
  const std::vector<int64_t>& offsets() const { return offsets_; }
  void Next();

 private:
  const std::vector<int64_t>& dims_;
  std::vector<int64_t> index_;
  std::vector<std::vector<int64_t>> strides_;  // [operand][axis]; 0 where the operand stretches
  std::vector<int64_t> offsets_;
};

template <class Fn>
void ForEachBroadcast(const EvalTensor& out, std::span<const EvalTensor* const> operands, Fn&& fn) {
  BroadcastWalk walk(out.dims, operands);
  const int64_t count = out.size();
  for (int64_t k = 0; k < count; ++k, walk.Next()) fn(k, walk.offsets());
}

}  // namespace rlx
