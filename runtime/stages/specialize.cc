// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/lower/lower.h"
#include "runtime/passes/passes.h"
#include "runtime/stages/pipeline.h"
#include "runtime/stages/reports.h"
#include "runtime/stages/stages.h"

namespace rlx::stages {

absl::StatusOr<CompileResult> CompileResult::Specialize(const DimBinding& binding,
                                                        const device::Backend* backend,
                                                        const device::Target& target) const {
  for (const auto& [symbol, size] : binding) {
    if (lir.graph.symbols.count(symbol) == 0) {
      return InvalidArgument("the module has no symbol \"", symbol, "\"");
    }
  }
  CompileResult bound = *this;
  for (const auto& [symbol, size] : binding) bound.options.dim_binding[symbol] = size;
  Graph& graph = bound.lir.graph;
  RLX_ASSIGN(graph, BindSymbols(lir.graph, binding));
  // Only now can the back end be asked about nodes that had symbolic extents.
  passes::PassContext context = ContextFor(options, backend, target, bound.fusion.remarks);
  RLX_TRY(passes::DecomposeRefused(graph, context));
  RLX_TRY(VerifyGraph(graph, GrownLimits()));
  const DispatchReport now = ReportDispatch(graph, graph, options, backend, target);
  bound.dispatch.unsupported = now.unsupported;
  bound.dispatch.compile_ready = now.compile_ready;
  RLX_ASSIGN(bound.lir.plan,
             lower::PlanBuffers(graph, {.alignment = options.arena_alignment}, backend));
  RLX_TRY(GenerateCode(bound, backend, target));
  return bound;
}

}  // namespace rlx::stages
