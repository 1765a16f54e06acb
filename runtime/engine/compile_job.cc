// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/compile_job.h"

#include <condition_variable>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "runtime/engine/artifact.h"
#include "runtime/engine/assert_clean.h"
#include "runtime/ir/text.h"

namespace rlx::engine {
namespace {

CompilePhase PhaseOf(std::string_view stage_phase) {
  if (stage_phase == "verify") return CompilePhase::kParse;
  if (stage_phase == "hir") return CompilePhase::kHir;
  if (stage_phase == "mir") return CompilePhase::kMir;
  if (stage_phase == "lir") return CompilePhase::kLir;
  return CompilePhase::kCodegen;
}

stages::CompileRequest StageRequest(DeviceKind device, const CompileOptions& options,
                                    const Targets::Choice& choice, const Limits& limits,
                                    const CancelToken& cancel) {
  stages::CompileRequest request;
  request.device = device;
  request.options = options;
  request.backend = choice.backend;
  request.target = choice.target;
  request.limits = limits;
  request.cancel = cancel;
  return request;
}

constexpr double kLeastPause = 0.01, kMostPause = 0.2;  // between questions whether it is made
constexpr double kPatience = 300;  // then whoever makes it is not waited for any longer

absl::Status Pause(double seconds, const CancelToken& cancel) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, cancel.stop(), std::chrono::duration<double>(seconds), [] { return false; });
  return cancel.Check();
}

// What another replica has made of it, or the turn to make it. While another makes it, this thread
// waits and its place in the pool is free.
absl::StatusOr<ArtifactCache::Share> AwaitTurn(const Digest256& key,
                                               const CompileEnvironment& environment,
                                               const CancelToken& cancel) {
  std::optional<CompilePool::Break> waiting;
  const double until = MonotonicSeconds() + kPatience;
  for (double pause = kLeastPause;; pause = std::min(1.5 * pause, kMostPause)) {
    ArtifactCache::Share share = environment.artifacts.TakeTurn(key);
    if (!share.theirs || MonotonicSeconds() > until) return share;
    if (!waiting) waiting.emplace(environment.pool);
    RLX_TRY(Pause(pause, cancel));
  }
}

FlightResult Keep(const Digest256& key, stages::CompileResult result, const device::Target& target,
                  const CompileEnvironment& environment, ProgressHub& progress) {
  progress.Publish(CompilePhase::kLoad, "");
  FlightResult out;
  out.module =
      environment.artifacts.Add(key, ToArtifact(std::move(result), target), environment.keep);
  progress.Publish(CompilePhase::kDone, "");
  return out;
}

}  // namespace

absl::StatusOr<FlightResult> RunCompile(const Job& job, const CompileEnvironment& environment,
                                        const CancelToken& cancel, ProgressHub& progress) {
  if (environment.look_up) {
    if (ModulePtr module = environment.artifacts.Recall(job.key.key)) {
      return FlightResult{std::move(module), CacheResult::kMemory};
    }
  }
  ArtifactCache::Share share;  // its turn ends after what was made has been kept
  if (environment.look_up && environment.keep) {
    RLX_ASSIGN(share, AwaitTurn(job.key.key, environment, cancel));
    if (share.module) return FlightResult{std::move(share.module), CacheResult::kRemote};
  }
  CompileOptions options = job.request;
  options.verbose = true;
  options.assert_fusion_clean = false;
  stages::CompileRequest request =
      StageRequest(job.device, options, job.choice, environment.limits, cancel);
  request.observer.progress = [&](std::string_view phase, std::string_view detail) {
    progress.Publish(PhaseOf(phase), detail);
  };
  RLX_ASSIGN(stages::CompileResult result,
             stages::CompileModuleStages(job.canonical.module, request));
  return Keep(job.key.key, std::move(result), job.choice.target, environment, progress);
}

absl::StatusOr<FlightResult> RunSpecialise(const CompiledModule& module, const Digest256& key,
                                           const Specialisation& at, const Targets::Choice& choice,
                                           const CompileEnvironment& environment,
                                           const CancelToken& cancel, ProgressHub& progress) {
  if (ModulePtr ready = environment.artifacts.Recall(key)) {
    return FlightResult{std::move(ready), CacheResult::kMemory};
  }
  RLX_ASSIGN(ArtifactCache::Share share, AwaitTurn(key, environment, cancel));
  if (share.module) return FlightResult{std::move(share.module), CacheResult::kRemote};
  progress.Publish(CompilePhase::kLir, "");
  RLX_ASSIGN(const stages::CompileResult general, FromArtifact(module.artifact, choice.backend));
  RLX_ASSIGN(stages::CompileResult bound,
             at.up_to
                 ? general.SpecializeUpTo(at.sizes, choice.backend, module.artifact.target, cancel)
                 : general.Specialize(at.sizes, choice.backend, module.artifact.target, cancel));
  return Keep(key, std::move(bound), module.artifact.target, environment, progress);
}

absl::StatusOr<Lowered> RunLower(const CompileSpec& spec, const CompileOptions& options,
                                 const Targets::Choice& choice, const Limits& limits, Stage stage,
                                 const CancelToken& cancel, FusionReport* misses) {
  Lowered out;
  CompileOptions quiet = options;
  quiet.assert_fusion_clean = false;  // here, where the misses can be handed back
  stages::CompileRequest request = StageRequest(spec.device, quiet, choice, limits, cancel);
  // What fusion misses shows at the end of the passes, wherever the caller wants to stop.
  const bool judged = options.assert_fusion_clean.value_or(false);
  if (judged && stage != Stage::kLir) {
    request.until = Stage::kLir;
    RLX_ASSIGN(const stages::CompileResult whole,
               stages::CompileModuleStages(spec.module, request));
    RLX_TRY(CheckClean(options, whole.fusion, misses));
  }
  request.until = stage;
  RLX_ASSIGN(stages::CompileResult result, stages::CompileModuleStages(spec.module, request));
  RLX_TRY(CheckClean(options, result.fusion, misses));
  out.module = {stage, spec.module.policy, std::move(result.lir.graph), nullptr};
  if (stage == Stage::kLir) {
    out.module.plan = std::make_shared<const BufferPlan>(std::move(result.lir.plan));
  }
  out.fusion = std::move(result.fusion);
  out.dispatch = std::move(result.dispatch);
  out.passes = std::move(result.passes);
  out.text = Print(out.module, {.full_constants = false});
  return out;
}

}  // namespace rlx::engine
