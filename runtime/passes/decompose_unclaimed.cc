// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/decompose.h"
#include "runtime/passes/passes.h"

// Each op that the target does not claim, or that the dispatch policy sends to its common form, in
// terms of others. Only those: a fused op that the target runs stays fused. What the request wants
// native stays, to run or to be reported.
namespace rlx::passes {

absl::Status DecomposeUnclaimed(Graph& graph, PassContext& context) {
  const auto decompose = [&] {
    return DecomposeWhere(
        graph, context,
        [&](const Graph& g, NodeId id) {
          const std::string claim(Info(g.node(id).op).claim);
          if (context.native.count(claim) > 0) return false;
          if (context.common.count(claim) > 0) return true;
          return !context.keep_unclaimed && !context.Accepts(claim);
        },
        "is not claimed by the target");
  };
  RLX_TRY(decompose());
  if (!context.changed) return absl::OkStatus();
  // A recurrence becomes a loop, which the target may lack as well.
  RLX_TRY(LowerControlFlow(graph, context));
  if (context.changed) RLX_TRY(decompose());
  context.changed = true;
  return absl::OkStatus();
}

extern const Pass kDecomposeUnclaimedPass = {
    .name = "decompose_unclaimed",
    .run = DecomposeUnclaimed,
    .after = "lower_dot_general",
    .why =
        "Before folding and fusion: what the target lacks becomes primitives that both "
        "understand",
};

}  // namespace rlx::passes
