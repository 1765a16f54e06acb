// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/device/backend.h"
#include "runtime/lower/draft_builder.h"
#include "runtime/lower/lower.h"

namespace rlx::lower {

absl::StatusOr<ProgramDraft> DraftProgram(const LirModule& lir, const device::Backend& backend,
                                          const device::Target& target, const CancelToken& cancel) {
  if (!lir.plan.dynamic_symbols.empty()) {
    return FailedPrecondition("symbol \"", lir.plan.dynamic_symbols.front(), "\" is not bound");
  }
  return DraftBuilder(lir, backend, target).Run(cancel);
}

absl::StatusOr<std::shared_ptr<const device::Program>> BuildProgram(const LirModule& lir,
                                                                    const device::Backend& backend,
                                                                    const device::Target& target,
                                                                    const CancelToken& cancel) {
  RLX_ASSIGN(ProgramDraft draft, DraftProgram(lir, backend, target, cancel));
  return CompileDraft(std::move(draft), backend, target, cancel);
}

absl::StatusOr<std::shared_ptr<const device::Program>> CompileDraft(ProgramDraft draft,
                                                                    const device::Backend& backend,
                                                                    const device::Target& target,
                                                                    const CancelToken& cancel) {
  if (!draft.kernels.empty()) {
    RLX_ASSIGN(draft.program.object, backend.CompileKernels(draft.kernels, target, cancel));
  }
  return std::make_shared<const device::Program>(std::move(draft.program));
}

}  // namespace rlx::lower
