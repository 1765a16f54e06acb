// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/passes/pass.h"
#include "runtime/passes/rules.h"

namespace rlx::passes {

// What the two residual norm passes share: `norm` over add(a, b) becomes `fused`, whose second
// result is the sum, so that other readers of the sum keep it.
struct ResidualNorm {
  OpKind norm, fused;
  Rule rule;
};
absl::Status FuseResidualNorm(Graph& graph, PassContext& context, const ResidualNorm& kind);

}  // namespace rlx::passes
