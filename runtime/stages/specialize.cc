// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/lower/lower.h"
#include "runtime/passes/pad_to_capacity.h"
#include "runtime/passes/passes.h"
#include "runtime/stages/pipeline.h"
#include "runtime/stages/reports.h"
#include "runtime/stages/stages.h"

namespace rlx::stages {
namespace {

absl::Status CheckSymbols(const Graph& graph, const DimBinding& binding) {
  for (const auto& [symbol, size] : binding) {
    if (graph.symbols.count(symbol) == 0) {
      return InvalidArgument("the module has no symbol \"", symbol, "\"");
    }
  }
  return absl::OkStatus();
}

// The passes once more, now that extents are known: what asked for sizes can match, and the back
// end can be asked about every node. Of what they say, the fusions are new; the misses were said
// before.
absl::StatusOr<passes::Replacements> RunPassesAgain(CompileResult& result,
                                                    const device::Backend* backend,
                                                    const device::Target& target,
                                                    const CancelToken& cancel) {
  std::vector<Remark> remarks;
  std::vector<PassTiming> timings;
  passes::PassContext context = ContextFor(result.options, backend, target, remarks);
  context.cancel = cancel;
  // What computes in which type was decided the first time: what padding added since, a mean's sum
  // in f32 say, is not to be narrowed.
  context.policy = {};
  RLX_TRY(RunPasses(result.lir.graph, result.options, context, {}, timings));
  for (Remark& remark : remarks) {
    if (remark.kind == Remark::Kind::kMissed) continue;
    result.fusion.remarks.push_back(std::move(remark));
  }
  return std::move(context.became);
}

// Nodes before the passes are those of the first time, and what was rewritten then stays so.
DispatchReport Redispatch(const CompileResult& result, const passes::Replacements& became,
                          const device::Backend* backend, const device::Target& target) {
  std::map<std::string, int64_t> before;
  std::map<std::string, const DispatchReport::Kind*> gone;
  for (const DispatchReport::Kind& kind : result.dispatch.kinds) {
    if (kind.nodes > 0) before[kind.claim] = kind.nodes;
    if (kind.nodes_after == 0) gone[kind.claim] = &kind;
  }
  DispatchReport now = ReportDispatch(before, result.lir.graph, became, result.options, backend,
                                      target, result.as_given);
  for (DispatchReport::Kind& kind : now.kinds) {
    const auto then = gone.find(kind.claim);
    if (then != gone.end() && kind.nodes_after == 0) kind = *then->second;
  }
  return now;
}

absl::Status Replan(CompileResult& result, const device::Backend* backend,
                    const device::Target& target, const CancelToken& cancel) {
  passes::Replacements became;
  if (!result.as_given) {
    RLX_ASSIGN(became, RunPassesAgain(result, backend, target, cancel));
  }
  const Graph& graph = result.lir.graph;
  CountAfter(graph, result.fusion);
  RLX_TRY(VerifyGraph(graph, GrownLimits()));
  result.dispatch = Redispatch(result, became, backend, target);
  RLX_TRY(JudgeSizes(graph, backend, target, cancel, result));
  RLX_ASSIGN(result.lir.plan,
             lower::PlanBuffers(graph, {.alignment = result.options.arena_alignment}, backend));
  return GenerateCode(result, backend, target, cancel);
}

}  // namespace

absl::StatusOr<CompileResult> CompileResult::Specialize(const DimBinding& binding,
                                                        const device::Backend* backend,
                                                        const device::Target& target,
                                                        const CancelToken& cancel) const {
  RLX_TRY(CheckSymbols(lir.graph, binding));
  CompileResult bound = *this;
  for (const auto& [symbol, size] : binding) bound.options.dim_binding[symbol] = size;
  RLX_ASSIGN(bound.lir.graph, BindSymbols(lir.graph, binding));
  RLX_TRY(Replan(bound, backend, target, cancel));
  return bound;
}

absl::StatusOr<CompileResult> CompileResult::SpecializeUpTo(const DimBinding& capacity,
                                                            const device::Backend* backend,
                                                            const device::Target& target,
                                                            const CancelToken& cancel) const {
  RLX_TRY(CheckSymbols(lir.graph, capacity));
  CompileResult bound = *this;
  RLX_ASSIGN(passes::PaddedGraph padded, passes::PadToCapacity(lir.graph, capacity));
  bound.lir.graph = std::move(padded.graph);
  bound.lir.extents = std::move(padded.extents);
  RLX_TRY(Replan(bound, backend, target, cancel));
  return bound;
}

}  // namespace rlx::stages
