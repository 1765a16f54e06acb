// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "runtime/passes/pass.h"

namespace rlx::passes {

// The number of ops in a region's body; constants are no steps.
int64_t RegionSteps(const Node& region);

// Puts the bodies of the regions for which `wanted` holds in their place.
absl::Status InlineRegions(Graph& graph, PassContext& context,
                           const std::function<bool(const Node&)>& wanted, std::string_view why);

}  // namespace rlx::passes
