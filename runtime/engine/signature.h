// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/engine/session.h"
#include "runtime/ir/lir.h"

// Checks of what a caller sends against what a module declares. Messages name the thing.
namespace rlx::engine {

// Weights in the order of the params, each with what names its content.
struct OrderedWeights {
  std::vector<SharedBytes> bytes;
  std::vector<Digest256> sources;
  int64_t inline_bytes = 0;
};
// Bytes of a blob, or NotFound.
using ReadBlob = FunctionRef<absl::StatusOr<SharedBytes>(const Digest256&)>;

// InvalidArgument: a weight missing, unknown, given twice, of the wrong dtype, shape or size, or a
// bool that is neither 0 nor 1. OutOfRange: a slice beyond its blob. FailedPrecondition: a param of
// unbound shape. ResourceExhausted: more inline than `max_inline_bytes`.
absl::StatusOr<OrderedWeights> OrderWeights(const std::vector<IoEntry>& params,
                                            const std::vector<WeightSource>& weights,
                                            uint64_t max_inline_bytes, ReadBlob read);

// Positions among `given` of the inputs declared, in the order declared, into `order`.
absl::Status OrderInputs(const std::vector<IoEntry>& declared, std::span<const NamedInput> given,
                         std::vector<size_t>& order);
// One input against its type, which is static.
absl::Status CheckInput(const NamedInput& input, const TensorType& type);

// Sizes of a module's symbols from the extents of the inputs given: from those that are a symbol,
// then from those that are linear in one more (`2*n + 1`) and from what the module demands of its
// symbols where that is. InvalidArgument where they contradict each other or a type, are no extent
// of that form, or leave a symbol open.
absl::StatusOr<DimBinding> InferBinding(const LirModule& lir, std::span<const NamedInput> given,
                                        const std::vector<size_t>& order);

// Positions among `declared` of the outputs asked for; all of them, in order, for none.
absl::Status OrderOutputs(const std::vector<IoEntry>& declared,
                          std::span<const std::string_view> wanted, std::vector<size_t>& order);

}  // namespace rlx::engine
