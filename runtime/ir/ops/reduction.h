// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "runtime/ir/builder.h"

namespace rlx {

// A running sum for targets that have none. A constant length n takes log2(n) sums of two tensors
// of x's size. A symbolic one is summed up under a mask: n times the memory of x, as an attention
// has for its scores.
absl::StatusOr<std::vector<Value>> DecomposeCumsum(GraphBuilder& b, const Node& node);

}  // namespace rlx
