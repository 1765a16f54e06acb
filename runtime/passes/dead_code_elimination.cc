// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/passes/passes.h"

// Nodes that no output depends on go. Inputs and params stay: they are the module's signature.
namespace rlx::passes {

absl::Status DeadCodeElimination(Graph& graph, PassContext& context) {
  const int before = graph.size();
  RLX_TRY(graph.Normalize().status());
  context.changed = graph.size() != before;
  return absl::OkStatus();
}

}  // namespace rlx::passes
