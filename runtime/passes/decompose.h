// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "runtime/passes/pass.h"

namespace rlx::passes {

// Decomposes nodes by their rows, and what that makes, until none is left for which `wanted` holds
// and a decomposition exists. `why` ends the remark: "%3 (rms_norm) " + why.
absl::Status DecomposeWhere(Graph& graph, PassContext& context,
                            const std::function<bool(const Graph&, NodeId)>& wanted,
                            std::string_view why);

}  // namespace rlx::passes
