// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/passes/passes.h"

// Nodes that no output depends on go. Inputs and params stay: they are the module's signature.
//
// An error goes with the value: where a run would fail in a node that nobody reads (an index out of
// range), it fails no more. So it is with what a loop computes beside its results, once that is
// written out as nodes. What an output depends on keeps failing. With dce off the error may go all
// the same: lowering runs nothing that nobody reads.
namespace rlx::passes {

absl::Status DeadCodeElimination(Graph& graph, PassContext& context) {
  const int before = graph.size();
  RLX_TRY(graph.Normalize().status());
  context.changed = graph.size() != before;
  return absl::OkStatus();
}

extern const Pass kDeadCodeEliminationPass = {
    .name = "dead_code_elimination",
    .run = DeadCodeElimination,
    .why_out = [](const PassContext& c) { return std::string_view(c.dce ? "" : "dce is off"); },
    .why =
        "First, so that readers nobody needs do not forbid a fusion; each rewrite drops its own "
        "orphans",
};

}  // namespace rlx::passes
