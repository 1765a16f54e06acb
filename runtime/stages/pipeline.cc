// SPDX-License-Identifier: Apache-2.0
#include "runtime/stages/pipeline.h"

#include "runtime/base/text.h"
#include "runtime/device/backend.h"
#include "runtime/passes/passes.h"
#include "runtime/stages/reports.h"

namespace rlx::stages {

using passes::Pass;

namespace {

bool Gated(const Pass& pass, const ResolvedOptions& options) {
  const std::string gate(pass.gate);
  if (gate.empty()) return false;
  return options.common_kinds.count(gate) > 0 ||
         (!options.gates.empty() && options.gates.count(gate) == 0);
}

}  // namespace

std::span<const Pass> AllPasses() { return passes::AllPasses(); }

std::string WhySkipped(const Pass& pass, const ResolvedOptions& options) {
  if (options.disabled_passes.count(std::string(pass.name)) > 0) return "disabled by the request";
  if (pass.fusion && options.skip_fusion) return "skip_fusion is set";
  if (Gated(pass, options)) return Cat("the target does not claim ", pass.gate);
  if (pass.why_out == nullptr) return {};
  std::vector<Remark> remarks;
  return std::string(pass.why_out(ContextFor(options, nullptr, {}, remarks)));
}

std::vector<Pass> PipelineFor(const ResolvedOptions& options) {
  std::vector<Pass> pipeline;
  for (const Pass& pass : AllPasses()) {
    if (WhySkipped(pass, options).empty()) pipeline.push_back(pass);
  }
  return pipeline;
}

}  // namespace rlx::stages
