// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <limits>
#include <optional>

#include "runtime/base/status.h"
#include "runtime/ir/text.h"
#include "runtime/ir/verify.h"
#include "runtime/passes/rules.h"
#include "runtime/stages/pipeline.h"

namespace rlx::stages {
namespace {

using Clock = std::chrono::steady_clock;

// The kinds of ops that a graph holds, counted when a pass asks and again after one has changed it.
class Census {
 public:
  explicit Census(const Graph& graph) : graph_(graph) {}

  void Outdate() { held_.reset(); }
  // Whether the pass may find something.
  bool Admits(const passes::Pass& pass) {
    if (pass.needs.empty()) return true;
    if (!held_) {
      held_.emplace();
      for (const Node& node : graph_.nodes()) held_->Insert(node.op);
    }
    return held_->Intersects(pass.needs);
  }

 private:
  const Graph& graph_;
  std::optional<passes::OpSet> held_;
};

absl::Status RunOne(const passes::Pass& pass, Graph& graph, passes::PassContext& context) {
  absl::Status status = pass.run(graph, context);
  // property_passes_alone holds passes to what they say here.
  if (status.ok() && context.changed) status = VerifyGraph(graph, GrownLimits());
  // A budget that a module exhausts is its author's to know; anything else is a fault of the pass.
  if (status.ok() || absl::IsResourceExhausted(status)) return status;
  RLX_TRY(context.cancel.Check());
  return Internal("pass ", pass.name, ": ", status.message());
}

// The remarks from `first` on are of this pass: by place in the author's module, whatever the order
// in which the pass went through it. What it applied is a fusion if the pass is one.
void Settle(std::vector<Remark>& remarks, size_t first, const passes::Pass& pass) {
  const auto begin = remarks.begin() + static_cast<int64_t>(first);
  std::stable_sort(begin, remarks.end(),
                   [](const Remark& a, const Remark& b) { return a.sources < b.sources; });
  for (auto remark = begin; remark != remarks.end(); ++remark) {
    remark->pass = pass.name;
    const bool other = !pass.fusion && remark->kind == Remark::Kind::kApplied;
    if (other) remark->kind = Remark::Kind::kRewritten;
  }
}

// What a fusion that stays out would have done, tried on a copy and told as misses.
void Preview(const passes::Pass& pass, const Graph& graph, std::string_view why,
             const passes::PassContext& context) {
  Graph copy = graph;
  std::vector<Remark> would;
  passes::PassContext trial = context;
  trial.remarks = &would;
  if (!pass.run(copy, trial).ok()) return;
  const passes::ReasonInfo& reason = Info(passes::Reason::kPassSkipped);
  for (Remark& remark : would) {
    if (remark.kind != Remark::Kind::kApplied) continue;
    remark.kind = Remark::Kind::kMissed;
    remark.reason = reason.name;
    remark.message = Cat("could be: ", remark.message);
    remark.hint = why;
    remark.launches_saved = remark.bytes_saved = 0;
    remark.bytes_unknown = false;
    context.remarks->push_back(std::move(remark));
  }
}

}  // namespace

Limits GrownLimits() {
  Limits limits;
  limits.max_nodes = limits.max_operands = limits.max_constant_bytes = limits.max_sources =
      std::numeric_limits<int64_t>::max();
  return limits;
}

absl::Status RunPasses(Graph& graph, const ResolvedOptions& options, passes::PassContext& context,
                       const StageObserver& observer, std::vector<PassTiming>& timings) {
  Census census(graph);
  for (const passes::Pass& pass : AllPasses()) {
    RLX_TRY(context.cancel.Check());
    PassTiming timing{.pass = std::string(pass.name)};
    timing.why_skipped = WhySkipped(pass, options);
    timing.skipped = !timing.why_skipped.empty();
    const size_t remarks = context.remarks->size();
    if (timing.skipped && pass.fusion && options.verbose) {
      Preview(pass, graph, timing.why_skipped, context);
    }
    if (!timing.skipped) {
      if (observer.progress) observer.progress("mir", pass.name);
      const Clock::time_point start = Clock::now();
      context.changed = false;
      if (census.Admits(pass)) RLX_TRY(RunOne(pass, graph, context));
      if (context.changed) census.Outdate();
      timing.seconds = std::chrono::duration<double>(Clock::now() - start).count();
      timing.changed = context.changed;
      if (observer.after_pass && timing.changed) observer.after_pass(pass.name, graph);
      if (observer.dump && observer.dump_each_pass && timing.changed) {
        observer.dump(Cat("mir:after ", pass.name), Print(graph));
      }
    }
    Settle(*context.remarks, remarks, pass);
    timing.nodes_after = graph.size();
    timings.push_back(std::move(timing));
  }
  return RunNestedPasses(graph, options, context, observer, timings);
}

}  // namespace rlx::stages
