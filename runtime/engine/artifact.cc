// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/artifact.h"

#include "runtime/base/status.h"
#include "runtime/engine/options.h"

namespace rlx::engine {

wire::Artifact ToArtifact(stages::CompileResult result, const device::Target& target) {
  wire::Artifact out;
  out.target = target;
  out.fusion_target = result.options.fusion_target;
  out.options = AsCompileOptions(result.options);
  // Each caller's own, and none of what a cache should tell apart.
  out.options.verbose = false;
  out.options.assert_fusion_clean = false;
  out.lir = std::move(result.lir);
  out.as_given = result.as_given;
  out.fusion = std::move(result.fusion);
  out.dispatch = std::move(result.dispatch);
  out.passes = std::move(result.passes);
  out.phase_seconds = std::move(result.phase_seconds);
  out.program = std::move(result.program);
  out.why_no_program = std::move(result.why_no_program);
  return out;
}

absl::StatusOr<stages::CompileResult> FromArtifact(const wire::Artifact& artifact,
                                                   const device::Backend* backend) {
  stages::CompileResult out;
  out.device = artifact.target.kind;
  RLX_ASSIGN(out.options, stages::Resolve(artifact.target.kind, artifact.options, backend,
                                          backend ? &artifact.target : nullptr));
  out.lir = artifact.lir;
  out.as_given = artifact.as_given;
  out.fusion = artifact.fusion;
  out.dispatch = artifact.dispatch;
  out.passes = artifact.passes;
  out.phase_seconds = artifact.phase_seconds;
  out.program = artifact.program;
  out.why_no_program = artifact.why_no_program;
  return out;
}

}  // namespace rlx::engine
