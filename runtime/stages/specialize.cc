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

// Everything that follows from a result's graph, now that its extents are known.
absl::Status Replan(CompileResult& result, const device::Backend* backend,
                    const device::Target& target) {
  Graph& graph = result.lir.graph;
  passes::PassContext context = ContextFor(result.options, backend, target, result.fusion.remarks);
  // Only now can the back end be asked about nodes that had symbolic extents.
  RLX_TRY(passes::DecomposeRefused(graph, context));
  RLX_TRY(VerifyGraph(graph, GrownLimits()));
  const DispatchReport now = ReportDispatch(graph, graph, result.options, backend, target);
  result.dispatch.unsupported = now.unsupported;
  result.dispatch.compile_ready = now.compile_ready;
  RLX_ASSIGN(result.lir.plan,
             lower::PlanBuffers(graph, {.alignment = result.options.arena_alignment}, backend));
  return GenerateCode(result, backend, target);
}

// The passes that make few kernels of what padding added.
absl::Status FuseAgain(CompileResult& result, const device::Backend* backend,
                       const device::Target& target) {
  std::vector<Remark> unheard;  // the report is about what the author wrote
  passes::PassContext context = ContextFor(result.options, backend, target, unheard);
  Graph& graph = result.lir.graph;
  RLX_TRY(passes::DecomposeUnclaimed(graph, context));
  RLX_TRY(passes::CommonSubexpressionElimination(graph, context));
  for (const passes::Pass& pass : PipelineFor(result.options)) {
    if (pass.run == passes::MarkElementwiseRegions || pass.run == passes::ClipElementwiseRegions ||
        pass.run == passes::UnfuseElementwiseRegions) {
      RLX_TRY(pass.run(graph, context));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CompileResult> CompileResult::Specialize(const DimBinding& binding,
                                                        const device::Backend* backend,
                                                        const device::Target& target) const {
  RLX_TRY(CheckSymbols(lir.graph, binding));
  CompileResult bound = *this;
  for (const auto& [symbol, size] : binding) bound.options.dim_binding[symbol] = size;
  RLX_ASSIGN(bound.lir.graph, BindSymbols(lir.graph, binding));
  RLX_TRY(Replan(bound, backend, target));
  return bound;
}

absl::StatusOr<CompileResult> CompileResult::SpecializeUpTo(const DimBinding& capacity,
                                                            const device::Backend* backend,
                                                            const device::Target& target) const {
  RLX_TRY(CheckSymbols(lir.graph, capacity));
  CompileResult bound = *this;
  RLX_ASSIGN(passes::PaddedGraph padded, passes::PadToCapacity(lir.graph, capacity));
  bound.lir.graph = std::move(padded.graph);
  bound.lir.extents = std::move(padded.extents);
  RLX_TRY(FuseAgain(bound, backend, target));
  RLX_TRY(Replan(bound, backend, target));
  return bound;
}

}  // namespace rlx::stages
