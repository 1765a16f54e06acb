// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <limits>

#include "runtime/base/status.h"
#include "runtime/ir/text.h"
#include "runtime/ir/verify.h"
#include "runtime/stages/pipeline.h"

namespace rlx::stages {
namespace {

using Clock = std::chrono::steady_clock;

absl::Status RunOne(const passes::Pass& pass, Graph& graph, passes::PassContext& context) {
  absl::Status status = pass.run(graph, context);
  // property_passes_alone holds passes to what they say here.
  if (status.ok() && context.changed) status = VerifyGraph(graph, GrownLimits());
  // A budget that a module exhausts is its author's to know; anything else is a fault of the pass.
  if (status.ok() || absl::IsResourceExhausted(status)) return status;
  return Internal("pass ", pass.name, ": ", status.message());
}

}  // namespace

Limits GrownLimits() {
  Limits limits;
  limits.max_nodes = limits.max_operands = limits.max_constant_bytes =
      std::numeric_limits<int64_t>::max();
  return limits;
}

absl::Status RunPasses(Graph& graph, const ResolvedOptions& options, passes::PassContext& context,
                       const StageObserver& observer, const CancelToken& cancel,
                       std::vector<PassTiming>& timings) {
  for (const passes::Pass& pass : AllPasses()) {
    RLX_TRY(cancel.Check());
    PassTiming timing{.pass = std::string(pass.name)};
    timing.why_skipped = WhySkipped(pass, options);
    timing.skipped = !timing.why_skipped.empty();
    if (!timing.skipped) {
      if (observer.progress) observer.progress("mir", pass.name);
      const size_t remarks = context.remarks->size();
      const Clock::time_point start = Clock::now();
      context.changed = false;
      RLX_TRY(RunOne(pass, graph, context));
      timing.seconds = std::chrono::duration<double>(Clock::now() - start).count();
      timing.changed = context.changed;
      for (size_t i = remarks; i < context.remarks->size(); ++i) {
        (*context.remarks)[i].pass = pass.name;
      }
      if (observer.after_pass && timing.changed) observer.after_pass(pass.name, graph);
      if (observer.dump && observer.dump_each_pass && timing.changed) {
        observer.dump(Cat("mir:after ", pass.name), Print(graph));
      }
    }
    timing.nodes_after = graph.size();
    timings.push_back(std::move(timing));
  }
  return absl::OkStatus();
}

}  // namespace rlx::stages
