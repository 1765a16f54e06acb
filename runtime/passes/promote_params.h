// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>

#include "absl/status/status.h"
#include "runtime/ir/graph.h"

namespace rlx::passes {

// Params of these names become inputs of the same name and type: weights that change from request
// to request. Inputs stand in node order, so the positions of others may move; alias pairs follow.
// NotFound naming the first name that is no param.
absl::Status PromoteParams(Graph& graph, const std::set<std::string>& names);

}  // namespace rlx::passes
