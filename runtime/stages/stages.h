// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/base/cancel.h"
#include "runtime/device/program.h"
#include "runtime/ir/lir.h"
#include "runtime/ir/options.h"
#include "runtime/ir/report.h"
#include "runtime/ir/verify.h"
#include "runtime/passes/pass.h"

namespace rlx {
class Logger;
}
namespace rlx::device {
class Backend;
}

// The stage API: options → pipeline → CompileResult. Everything a compile depends on is an
// argument.
namespace rlx::stages {

// Which fusion rules a device follows; ANE, OpenGL and DirectX follow the CPU's.
FusionTarget FusionTargetFor(DeviceKind device);
// The limits of a fusion target: unbounded on the CPU, 32 steps and 16 inputs elsewhere.
FusionLimits LimitsFor(FusionTarget target);
// The claims that gate passes when neither the request nor a back end gives a list.
std::set<std::string> FusionClaimsFor(FusionTarget target);
// The claims that stand in for a target without a back end here, for legalisation and reports.
std::set<std::string> RuntimeClaimsFor(FusionTarget target);

// CompileOptions with every field decided: defaults filled, target chosen, claims resolved
// (request > back end > table). What the pipeline and the cache key are made from, and what
// responses echo. InvalidArgument naming the field for a bad value.
struct ResolvedOptions {
  DeviceKind device = DeviceKind::kCpu;
  FusionTarget fusion_target = FusionTarget::kCpu;
  bool skip_fusion = false;
  bool unfuse_elementwise_regions = false;
  FusionLimits limits;
  std::set<std::string> claims;        // what runs as it stands; empty: everything
  std::set<std::string> gates;         // what fusion may make; differs from claims by table alone
  std::set<std::string> common_kinds;  // decomposed although claimed
  bool claims_from_request = false;
  bool dce = true;
  bool constant_folding = true;
  bool verbose = false;
  bool assert_fusion_clean = false;
  PrecisionPolicy policy;                 // the request's, or the one that its precision stands for
  Precision precision = Precision::kF32;  // that which stands for the policy; kF32 for others
  int64_t arena_alignment = 64;
  DimBinding dim_binding;
  DispatchPolicy dispatch = DispatchPolicy::kPreferNative;
  std::set<std::string> force_common_kinds, force_native_kinds;
  std::set<std::string> disabled_passes;
  std::string salt;
};
// `target` is the profile a back end's claims are asked for; null: its first.
absl::StatusOr<ResolvedOptions> Resolve(DeviceKind device, const CompileOptions& options,
                                        const device::Backend* backend,
                                        const device::Target* target = nullptr);
// The same for a module: one at stage LIR keeps its types, and with a plan the plan's alignment.
// InvalidArgument when the request asks for another precision or a wider alignment; dim_binding
// plans anew, as asked.
absl::StatusOr<ResolvedOptions> ResolveFor(const Module& module, DeviceKind device,
                                           const CompileOptions& options,
                                           const device::Backend* backend,
                                           const device::Target* target = nullptr);
// `options` with supported_ops set, unless the request already has a list.
CompileOptions OptionsWithSupportedOps(CompileOptions options, std::set<std::string> claims);

// The passes that will run, in order; docs/passes.md gives the reason for each place.
std::vector<passes::Pass> PipelineFor(const ResolvedOptions& options);

// Called as a compile proceeds (progress events, dumps). `phase` is one of kPhases.
struct StageObserver {
  std::function<void(std::string_view phase, std::string_view detail)> progress;
  // Text of a stage ("hir", "mir", "mir:after fuse_swiglu", "lir") when asked for.
  std::function<void(std::string_view stage, const std::string& text)> dump;
  bool dump_each_pass = false;
  // The graph after each pass that changed it.
  std::function<void(std::string_view pass, const Graph& graph)> after_pass;
  // The same of a body of control flow, which has the passes once the graph around it has had them
  // all. First as it was then, without a pass.
  std::function<void(std::string_view pass, const Graph& body)> after_pass_in_body;
};
// Closed list of phase names, also metric labels.
inline constexpr std::string_view kPhases[] = {"verify", "hir", "mir", "lir", "codegen"};

struct CompileResult {
  DeviceKind device = DeviceKind::kCpu;
  ResolvedOptions options;
  LirModule lir;
  bool as_given = false;  // it came as LIR: no pass touches it, now or when symbols are bound
  FusionReport fusion;
  DispatchReport dispatch;
  std::vector<PassTiming> passes;
  std::map<std::string, double, std::less<>> phase_seconds;  // by kPhases; "kernels" within codegen
  // The device program; null when no back end here serves the device, or symbols are unbound.
  std::shared_ptr<const device::Program> program;
  std::string why_no_program;
  // What a module with unbound symbols can be bound to: dispatch.compile_ready says whether it may
  // be any admissible size.
  bool runs_at_some_sizes = true;

  // Binds symbols of the LIR: types, plan and (with the back end) program anew. The passes run once
  // more, for what asked for sizes, unless the module came as LIR.
  absl::StatusOr<CompileResult> Specialize(const DimBinding& binding,
                                           const device::Backend* backend,
                                           const device::Target& target,
                                           const CancelToken& cancel = {}) const;
  // The same for one capacity and every admissible size up to it (passes/pad_to_capacity.h), whose
  // errors it has: FailedPrecondition where padding would change a result. `capacity` names every
  // symbol.
  absl::StatusOr<CompileResult> SpecializeUpTo(const DimBinding& capacity,
                                               const device::Backend* backend,
                                               const device::Target& target,
                                               const CancelToken& cancel = {}) const;
};

// A LIR module's graph stands as it is; its plan, where it has one, is verified (InvalidArgument
// naming the node) and kept. `backend` may be null: the stages run for every device, with or
// without one. `target` is one of backend->Targets() when there is a back end. FailedPrecondition
// as RequireClean says when assert_fusion_clean is set.
struct CompileRequest {
  DeviceKind device = DeviceKind::kCpu;
  CompileOptions options;
  const device::Backend* backend = nullptr;
  device::Target target;
  Limits limits;
  StageObserver observer;
  CancelToken cancel;
  // Stop there and make no code, and not before the module's own stage: kHir or kMir, before the
  // passes and with dim_binding applied (`lir` then holds the graph alone), or kLir.
  std::optional<Stage> until;
};
absl::StatusOr<CompileResult> CompileModuleStages(const Module& module,
                                                  const CompileRequest& request);
absl::StatusOr<CompileResult> CompileHirStages(const Module& hir, const CompileRequest& request);
absl::StatusOr<CompileResult> CompileGraphStages(const Graph& mir, const CompileRequest& request);
// As CompileGraphStages, for a named back end: fails where the back end cannot run the result, with
// Unimplemented naming every kind it lacks.
absl::StatusOr<CompileResult> CompileGraphStagesForBackend(const Graph& mir,
                                                           const CompileRequest& request);

// FailedPrecondition "fusion is not clean" with the misses that somebody can act on, where there
// are any.
absl::Status RequireClean(const FusionReport& report);

// Why a plan has no program until sizes are known: it names the symbols; empty for a plan with
// none.
std::string WhyUnbound(const BufferPlan& plan);

// The MIR graph that a LIR module carries.
Graph GraphFromLir(const LirModule& lir);
// It with its plan, as a module that can be compiled again.
Module ModuleFromLir(const LirModule& lir);

// Writes the report of a compile to the log, its summary line (report.h) as a field of its own,
// when `enabled` (RLX_FUSION_REPORT, read by server/config). `module` is its name.
void MaybeLogFusion(std::string_view module, DeviceKind device, const FusionReport& report,
                    bool enabled, Logger& log);

}  // namespace rlx::stages
