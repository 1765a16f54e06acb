// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "runtime/ir/builder.h"
#include "runtime/passes/pass.h"

namespace rlx::passes {

// A node in terms of others, as OpInfo::decompose.
using Parts = absl::StatusOr<std::vector<Value>> (*)(GraphBuilder&, const Node&);

// Whether nodes of this kind are to go: the target does not claim them, or the dispatch policy
// sends them to their common form.
bool TakenApart(const PassContext& context, OpKind op);

// Takes nodes apart as `parts_of` says, and what that makes, until it says null for all that are
// left. `why` ends the remark: "%3 (rms_norm) " + why(op).
absl::Status DecomposeBy(Graph& graph, PassContext& context,
                         const std::function<Parts(const Graph&, NodeId)>& parts_of,
                         const std::function<std::string_view(OpKind)>& why);

// By their rows, those for which `wanted` holds.
absl::Status DecomposeWhere(Graph& graph, PassContext& context,
                            const std::function<bool(const Graph&, NodeId)>& wanted,
                            std::string_view why);

// After constant_folding had its turn: what parts compute from constants alone (a mask's positions,
// say), with ops that the target may lack. Nothing unless the graph was changed.
absl::Status FoldParts(Graph& graph, PassContext& context);

}  // namespace rlx::passes
