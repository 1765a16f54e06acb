// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "runtime/ir/builder.h"

namespace rlx::passes {

// Appends the nodes of `body` to the builder's graph, its inputs bound to `operands` in order, and
// returns what its outputs are there. Nodes get the builder's sources unless they carry their own.
std::vector<Value> Inline(GraphBuilder& builder, const Graph& body,
                          const std::vector<Value>& operands);

}  // namespace rlx::passes
