// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/explain.h"

#include "runtime/base/status.h"
#include "runtime/engine/assert_clean.h"
#include "runtime/engine/options.h"
#include "runtime/kernel/text.h"

namespace rlx::engine {
namespace {

stages::CompileRequest RequestFor(const CompileSpec& spec, const EngineOptions& engine,
                                  const Targets::Choice& choice, const CancelToken& cancel) {
  stages::CompileRequest request;
  request.device = spec.device;
  request.options = Inherit(spec.options, spec.device, engine);
  request.backend = choice.backend;
  request.target = choice.target;
  request.limits = engine.limits;
  request.cancel = cancel;
  return request;
}

// What the first step that launches each kernel computes.
std::vector<std::string> Labels(const lower::ProgramDraft& draft) {
  std::vector<std::string> labels(draft.kernels.size());
  const std::function<void(const std::vector<device::Step>&)> visit = [&](const auto& steps) {
    for (const device::Step& step : steps) {
      if (step.kernel >= 0 && labels[step.kernel].empty()) labels[step.kernel] = step.label;
      for (const auto& body : step.bodies) visit(body);
    }
  };
  visit(draft.program.steps);
  visit(draft.program.weight_steps);
  return labels;
}

}  // namespace

absl::StatusOr<Explained> RunExplain(const CompileSpec& spec, const EngineOptions& engine,
                                     const Targets& targets, const CancelToken& cancel,
                                     FusionReport* misses) {
  RLX_ASSIGN(const Targets::Choice choice, targets.Choose(spec.device, spec.profile));
  stages::CompileRequest request = RequestFor(spec, engine, choice, cancel);
  // Judged here, where misses speak of the author's nodes.
  const std::optional<bool> judged = std::exchange(request.options.assert_fusion_clean, false);
  Explained out;
  RLX_ASSIGN(out.what, stages::Explain(spec.module, request));
  out.target = choice.target;
  out.options = AsCompileOptions(out.what.result.options);
  out.options.assert_fusion_clean = judged.value_or(false);
  RLX_TRY(CheckClean(out.options, out.what.result.fusion, misses));
  if (!out.what.program) return out;
  const std::vector<std::string> labels = Labels(*out.what.program);
  for (size_t k = 0; k < labels.size(); ++k) {
    const kernel::Kernel& kernel = out.what.program->kernels[k];
    out.kernels.push_back({kernel.name, "kernel-ir", Print(kernel), labels[k]});
  }
  return out;
}

absl::StatusOr<Exported> RunExport(const CompileSpec& spec, const EngineOptions& engine,
                                   const Targets& targets, const std::set<std::string>& languages,
                                   const CancelToken& cancel, FusionReport* misses) {
  RLX_ASSIGN(const Explained explained, RunExplain(spec, engine, targets, cancel, misses));
  if (!explained.what.program) return FailedPrecondition(explained.what.why_no_program);
  RLX_ASSIGN(const Targets::Choice choice, targets.Choose(spec.device, spec.profile));
  Exported out{choice.target, explained.what.result.options.fusion_target, {}};
  std::set<std::string> written;
  for (size_t k = 0; k < explained.kernels.size(); ++k) {
    RLX_TRY(cancel.Check());
    RLX_ASSIGN(
        std::vector<device::KernelText> texts,
        stages::ExportKernel(explained.what.program->kernels[k], *choice.backend, choice.target));
    for (device::KernelText& text : texts) {
      written.insert(text.language);
      if (!languages.empty() && languages.count(text.language) == 0) continue;
      out.kernels.push_back({explained.kernels[k].kernel, std::move(text.language),
                             std::move(text.text), explained.kernels[k].label});
    }
  }
  for (const std::string& language : languages) {
    if (written.empty() || written.count(language) > 0) continue;
    return InvalidArgument("languages: back end ", choice.backend->name(), " does not write \"",
                           language.substr(0, 64), "\" but ", Join(written, ", "));
  }
  return out;
}

}  // namespace rlx::engine
