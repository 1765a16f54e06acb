// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/ir/builder.h"

namespace rlx::passes {

// Whether a run may fail in the node by what its operands hold (OpInfo::checks), or in what it
// holds; so whether it must not be run where the module does not ask for it.
bool MayFail(const Node& node);
bool MayFail(const Graph& graph);

// Has the node, whose operands are values of the builder's graph, fail no run in which the bool
// scalar `on` does not hold, and mean what it meant where it does:
//
//   gather(table, indices)      →   gather(table, where(on, indices, 0))
//   if(p, captures..) {..}{..}  →   if(p, captures.., on) { the same of all inside }{..}
//   while(..) { holds } {..}    →   while(.., on) { on ∧ holds } {..}
void Guard(GraphBuilder& builder, Value on, Node& node);

}  // namespace rlx::passes
