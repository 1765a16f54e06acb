// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/lower/lower.h"
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
  RLX_ASSIGN(bound.lir.graph, BindSymbols(lir.graph, binding));
  RLX_TRY(VerifyGraph(bound.lir.graph, Limits{}, Stage::kLir));
  bound.dispatch = ReportDispatch(bound.lir.graph, bound.lir.graph, options, backend, target);
  RLX_ASSIGN(bound.lir.plan,
             lower::PlanBuffers(bound.lir.graph, {.alignment = options.arena_alignment}, backend));
  RLX_TRY(GenerateCode(bound, backend, target));
  return bound;
}

}  // namespace rlx::stages
