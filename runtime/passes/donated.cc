// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/donated.h"

namespace rlx::passes {

std::vector<bool> DonatedInputs(const Graph& graph) {
  std::vector<bool> donated(graph.size());
  if (graph.aliases.empty()) return donated;
  const std::vector<NodeId> inputs = graph.inputs();
  for (const AliasPair& alias : graph.aliases) donated[inputs[alias.input]] = true;
  return donated;
}

}  // namespace rlx::passes
