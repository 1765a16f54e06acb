// SPDX-License-Identifier: Apache-2.0
#include "runtime/stages/pipeline.h"

#include "runtime/base/text.h"
#include "runtime/device/backend.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/passes.h"
#include "runtime/stages/reports.h"

namespace rlx::stages {

using passes::Pass;

namespace {

bool Gated(const Pass& pass, const ResolvedOptions& options) {
  if (pass.gate.empty() || options.gates.empty()) return false;
  return options.gates.count(std::string(pass.gate)) == 0;
}

// Whether the request's own dispatch keeps out what the pass would make.
bool Forced(const Pass& pass, const ResolvedOptions& options) {
  return !pass.gate.empty() && options.common_kinds.count(std::string(pass.gate)) > 0;
}

// Why the options leave the pass out whatever else it may know.
std::string WhyShut(const Pass& pass, const ResolvedOptions& options) {
  if (options.disabled_passes.count(std::string(pass.name)) > 0) return "disabled by the request";
  if (pass.fusion && options.skip_fusion) return "skip_fusion is set";
  if (Forced(pass, options)) {
    return Cat("the request sends ", pass.gate, " to its common form (kernel_dispatch)");
  }
  if (Gated(pass, options)) return Cat("the target does not claim ", pass.gate);
  return {};
}

}  // namespace

passes::OpSet Awaited(const ResolvedOptions& options) {
  passes::OpSet awaited;
  if (options.claims.empty()) return awaited;
  passes::OpSet parts;
  for (const Pass& pass : AllPasses()) {
    if (!pass.parts.empty() && WhyShut(pass, options).empty()) parts.Insert(pass.parts);
  }
  for (const OpInfo* op : AllOps()) {
    const bool claimed = options.claims.count(std::string(op->claim)) > 0;
    if (parts.Has(op->kind) && !claimed) awaited.Insert(op->kind);
  }
  return awaited;
}

std::span<const Pass> AllPasses() { return passes::AllPasses(); }

std::string WhySkipped(const Pass& pass, const ResolvedOptions& options) {
  if (std::string why = WhyShut(pass, options); !why.empty()) return why;
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
