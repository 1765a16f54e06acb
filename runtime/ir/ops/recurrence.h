// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "runtime/ir/builder.h"

namespace rlx {

// Whether the op is a linear recurrence along axis 1: gated_delta_net, selective_scan.
bool IsLinearRecurrence(OpKind op);

// One without a loop, for targets that have none and a sequence whose length only a run knows:
// every step S ← A·S + U is a pair (A, U); where two follow one another they are one step as well,
// (A₂·A₁, A₂·U₁ + U₂). In level i each place joins the 2^i steps up to it with as many before them,
// so after log2 of the length's bound each holds all steps up to it. Work and memory are those of
// one state a step: [b,s,h,n,n] for gated_delta_net.
absl::StatusOr<std::vector<Value>> DecomposeInLevels(GraphBuilder& b, const Node& node);

}  // namespace rlx
