// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/stages/stages.h"
#include "tests/support/run_on_backend.h"

namespace rlx::test {

absl::StatusOr<std::vector<HostTensor>> BackendRunner::Run(const Graph& graph,
                                                           const TensorMap& inputs,
                                                           const CompileOptions& options) const {
  stages::CompileRequest request{
      .device = backend_->kind(), .options = options, .backend = backend_, .target = target_};
  RLX_ASSIGN(const stages::CompileResult result,
             stages::CompileGraphStagesForBackend(graph, request));
  if (result.program == nullptr) return FailedPrecondition(result.why_no_program);
  return RunProgram(*device_, result.program, inputs);
}

}  // namespace rlx::test
