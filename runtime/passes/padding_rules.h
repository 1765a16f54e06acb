// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/passes/padder.h"

namespace rlx::passes {

// Emits the node at hand over padded operands and sets its results.
using PaddingRule = absl::Status (*)(Padder&);

// Null when an op has no rule: it is decomposed first, or refused.
PaddingRule PaddingRuleFor(OpKind op);

// By what they do to axes; padding_rules.cc says which op follows which.
absl::Status PadElementwise(Padder& p);
absl::Status PadReshape(Padder& p);
absl::Status PadTranspose(Padder& p);
absl::Status PadNarrow(Padder& p);
absl::Status PadConcat(Padder& p);
absl::Status PadExpand(Padder& p);
absl::Status PadGather(Padder& p);
absl::Status PadMatMul(Padder& p);
absl::Status PadMatMulEpilogue(Padder& p);
absl::Status PadPackedMatMul(Padder& p);  // x times weights that are not a plain matrix
absl::Status PadReduce(Padder& p);
absl::Status PadSoftmax(Padder& p);
absl::Status PadCumsum(Padder& p);
absl::Status PadTopK(Padder& p);
absl::Status PadRows(Padder& p);          // acts along the last axes alone: norms, swiglu
absl::Status PadFirstAxis(Padder& p);     // acts within each element of the first axis: convolution
absl::Status PadConvEpilogue(Padder& p);  // the same, with a residual padded alike
absl::Status PadRope(Padder& p);
absl::Status PadAttention(Padder& p);
absl::Status PadIf(Padder& p);
absl::Status PadWhile(Padder& p);
absl::Status PadScan(Padder& p);

// The axes of operands that broadcast against each other, at the greatest rank. Refused where two
// are true in different places.
absl::StatusOr<PaddedAxes> BroadcastAxes(const std::vector<PaddedAxes>& operands);

}  // namespace rlx::passes
