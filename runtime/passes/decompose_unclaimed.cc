// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/ops/recurrence.h"
#include "runtime/passes/decompose.h"
#include "runtime/passes/passes.h"

// Each op that the target does not claim, or that the dispatch policy sends to its common form, in
// terms of others. Only those: a fused op that the target runs stays fused. What the request wants
// native stays, to run or to be reported; and what a claimed fusion may take stays until it has had
// its chance (decompose_unfused).
//
//   gated_delta_net | selective_scan   =>   scan {one token}
//
// which is written out where the target runs no loops, or log2(tokens) levels of all tokens where
// that is impossible: the length is a symbol, or too great.
namespace rlx::passes {
namespace {

constexpr int64_t kMostTokens = 512;  // written out

bool NeedsLevels(const PassContext& context, const Node& node) {
  if (!IsLinearRecurrence(node.op)) return false;
  const std::string loop(Info(OpKind::kScan).claim);
  if (context.Accepts(loop) || context.native.count(loop) > 0) return false;
  const Dim& length = node.results[0].shape[1];
  return !length.is_static() || length.value() > kMostTokens;
}

absl::Status TakeApart(PassContext& context, Graph& graph) {
  return DecomposeBy(
      graph, context,
      [&](const Graph& g, NodeId id) -> Parts {
        const Node& node = g.node(id);
        const OpInfo& info = Info(node.op);
        if (info.decompose == nullptr || !TakenApart(context, node.op)) return nullptr;
        if (context.awaited.Has(node.op) && context.common.count(std::string(info.claim)) == 0) {
          return nullptr;
        }
        return NeedsLevels(context, node) ? DecomposeInLevels : info.decompose;
      },
      [&](OpKind op) -> std::string_view {
        const bool forced = context.common.count(std::string(Info(op).claim)) > 0;
        return forced ? "goes to its common form, as the request asks"
                      : "is not claimed by the target";
      });
}

}  // namespace

absl::Status DecomposeUnclaimed(Graph& graph, PassContext& context) {
  RLX_TRY(TakeApart(context, graph));
  if (!context.changed) return absl::OkStatus();
  // A recurrence becomes a loop, which the target may lack as well.
  RLX_TRY(LowerControlFlow(graph, context));
  if (context.changed) RLX_TRY(TakeApart(context, graph));
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
