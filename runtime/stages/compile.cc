// SPDX-License-Identifier: Apache-2.0
#include <chrono>

#include "runtime/base/log.h"
#include "runtime/base/status.h"
#include "runtime/device/backend.h"
#include "runtime/ir/lower_hir.h"
#include "runtime/ir/text.h"
#include "runtime/lower/lower.h"
#include "runtime/stages/pipeline.h"
#include "runtime/stages/reports.h"
#include "runtime/stages/stages.h"

namespace rlx::stages {
namespace {

using Clock = std::chrono::steady_clock;

// One compile on its way through the stages.
class Compilation {
 public:
  explicit Compilation(const CompileRequest& request) : request_(request) {}

  // `own`: the module's graph where it is nobody else's; then it is taken and not copied.
  absl::StatusOr<CompileResult> Run(const Module& module, Graph* own = nullptr) {
    result_.device = request_.device;
    RLX_ASSIGN(result_.options,
               ResolveFor(module, request_.device, request_.options, request_.backend,
                          request_.backend != nullptr ? &request_.target : nullptr));
    RLX_TRY(Phase("verify", [&] { return Judge(module); }));
    Graph graph;
    if (module.stage == Stage::kHir && request_.until != Stage::kHir) {
      RLX_TRY(Phase("hir", [&] { return Lower(module, graph); }));
    } else if (own != nullptr) {
      graph = std::move(*own);
    } else {
      graph = module.graph;
    }
    if (request_.until == Stage::kHir) return StopAt(Stage::kHir, std::move(graph));
    if (request_.until == Stage::kMir) return StopAt(Stage::kMir, std::move(graph));
    RLX_TRY(Phase("mir", [&] { return Optimize(module.stage, graph); }));
    if (result_.options.assert_fusion_clean) RLX_TRY(RequireClean(result_.fusion));
    RLX_TRY(Phase("lir", [&] { return Plan(std::move(graph), module.plan.get()); }));
    if (request_.until) return std::move(result_);
    RLX_TRY(Phase("codegen", [&] {
      return GenerateCode(result_, request_.backend, request_.target, request_.cancel);
    }));
    return std::move(result_);
  }

 private:
  absl::StatusOr<CompileResult> StopAt(Stage stage, Graph graph) {
    RLX_TRY(Bind(graph, stage));
    result_.lir.graph = std::move(graph);
    return std::move(result_);
  }

  template <class Body>
  absl::Status Phase(std::string_view name, const Body& body) {
    RLX_TRY(request_.cancel.Check());
    if (request_.observer.progress) request_.observer.progress(name, "");
    const Clock::time_point start = Clock::now();
    RLX_TRY(body());
    result_.phase_seconds[std::string(name)] =
        std::chrono::duration<double>(Clock::now() - start).count();
    return absl::OkStatus();
  }

  absl::Status Judge(const Module& module) const {
    RLX_TRY(Verify(module, request_.limits));
    return module.plan ? lower::VerifyPlan(module.graph, *module.plan, request_.backend)
                       : absl::OkStatus();
  }

  absl::Status Lower(const Module& hir, Graph& graph) {
    if (request_.observer.dump) request_.observer.dump("hir", Print(hir));
    RLX_ASSIGN(graph, LowerHir(hir));
    const absl::Status status = VerifyGraph(graph, GrownLimits());
    if (status.ok() || absl::IsResourceExhausted(status)) return status;
    return Internal("lowering hir: ", status.message());
  }

  // Fusion is for HIR and MIR; a LIR module's graph is planned as it stands.
  absl::Status Optimize(Stage stage, Graph& graph) {
    result_.as_given = stage == Stage::kLir;
    StampSources(graph);
    RLX_TRY(Bind(graph));
    if (request_.observer.dump && !result_.as_given) {
      request_.observer.dump("mir", Print(graph));
    }
    const std::map<std::string, int64_t> before = CountBefore(graph, result_.fusion);
    passes::PassContext context =
        ContextFor(result_.options, request_.backend, request_.target, result_.fusion.remarks);
    context.cancel = request_.cancel;
    if (!result_.as_given) {
      RLX_TRY(RunPasses(graph, result_.options, context, request_.observer, result_.passes));
    }
    CountAfter(graph, result_.fusion);
    if (!result_.options.verbose) DropIdleMisses(result_.fusion);
    result_.dispatch = ReportDispatch(before, graph, context.became, result_.options,
                                      request_.backend, request_.target, result_.as_given);
    return JudgeSizes(graph, request_.backend, request_.target, request_.cancel, result_);
  }

  absl::Status Bind(Graph& graph, Stage stage = Stage::kMir) const {
    for (const auto& [symbol, size] : result_.options.dim_binding) {
      if (graph.symbols.count(symbol) == 0) {
        return InvalidArgument("dim_binding: the module has no symbol \"", symbol, "\"");
      }
    }
    if (result_.options.dim_binding.empty()) return absl::OkStatus();
    RLX_ASSIGN(graph, BindSymbols(graph, result_.options.dim_binding));
    return VerifyGraph(graph, GrownLimits(), stage);  // sizes may make an extent vanish
  }

  // A plan that came along holds while the graph is the one it was made for.
  absl::Status Plan(Graph graph, const BufferPlan* given) {
    if (given != nullptr && result_.options.dim_binding.empty()) {
      result_.lir.plan = *given;
    } else {
      RLX_ASSIGN(result_.lir.plan,
                 lower::PlanBuffers(graph, {.alignment = result_.options.arena_alignment},
                                    request_.backend));
    }
    result_.lir.graph = std::move(graph);
    if (request_.observer.dump) request_.observer.dump("lir", Print(ModuleFromLir(result_.lir)));
    return absl::OkStatus();
  }

  const CompileRequest& request_;
  CompileResult result_;
};

absl::Status RequireStage(const Module& module, Stage stage, std::string_view name) {
  if (module.stage == stage) return absl::OkStatus();
  return InvalidArgument("the module is not at stage ", name);
}

}  // namespace

absl::StatusOr<CompileResult> CompileModuleStages(const Module& module,
                                                  const CompileRequest& request) {
  return Compilation(request).Run(module);
}

absl::StatusOr<CompileResult> CompileHirStages(const Module& hir, const CompileRequest& request) {
  RLX_TRY(RequireStage(hir, Stage::kHir, "HIR"));
  return CompileModuleStages(hir, request);
}

absl::StatusOr<CompileResult> CompileGraphStages(const Graph& mir, const CompileRequest& request) {
  Module module{Stage::kMir, FusionPolicy::kDirect, mir};
  return Compilation(request).Run(module, &module.graph);
}

absl::StatusOr<CompileResult> CompileGraphStagesForBackend(const Graph& mir,
                                                           const CompileRequest& request) {
  if (request.backend == nullptr) {
    return FailedPrecondition("no back end is given for ", DisplayName(request.device));
  }
  RLX_ASSIGN(CompileResult result, CompileGraphStages(mir, request));
  if (result.dispatch.compile_ready) return result;
  return Unimplemented(Illegal(result.dispatch));
}

absl::Status RequireClean(const FusionReport& report) {
  if (report.clean()) return absl::OkStatus();
  std::string misses;
  for (const Remark& remark : report.remarks) {
    if (remark.kind != Remark::Kind::kMissed || !remark.actionable) continue;
    misses +=
        Cat(misses.empty() ? "" : "; ", remark.rule, " (", remark.reason, "): ", remark.message);
  }
  return FailedPrecondition("fusion is not clean: ", misses);
}

Graph GraphFromLir(const LirModule& lir) { return lir.graph; }

Module ModuleFromLir(const LirModule& lir) {
  return {Stage::kLir, FusionPolicy::kDirect, lir.graph,
          std::make_shared<const BufferPlan>(lir.plan)};
}

void MaybeLogFusion(std::string_view module, DeviceKind device, const FusionReport& report,
                    bool enabled, Logger& log) {
  if (!enabled) return;
  log.Info("fusion report", {{"module", module},
                             {"device", Name(device)},
                             {"summary", report.Summary()},
                             {"report", report.ToString()}});
}

}  // namespace rlx::stages
