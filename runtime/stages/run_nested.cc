// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <optional>

#include "runtime/base/status.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/verify.h"
#include "runtime/passes/counts.h"
#include "runtime/passes/hoist_casts.h"
#include "runtime/passes/precision.h"
#include "runtime/stages/pipeline.h"

namespace rlx::stages {
namespace {

// A body as a module of its own while the passes have it: they know what symbols range over, and
// the verifier demands names. A node that does not know where it is from is the holder's.
class Body {
 public:
  Body(const Graph& outer, const Node& owner, const Graph& body) : graph_(body) {
    graph_.symbols = outer.symbols;
    int number = 0;
    for (NodeId id : graph_.inputs()) {
      names_.push_back(std::exchange(graph_.node(id).name, Cat("in", number++)));
    }
    for (const Output& output : Outputs([&](size_t i) { return Cat("out", i); })) {
      names_.push_back(output.name);
    }
    for (NodeId id = 0; id < graph_.size(); ++id) {
      std::vector<SourceRef>& sources = graph_.node(id).sources;
      if (sources.empty()) sources = owner.sources;
    }
  }

  Graph& graph() { return graph_; }

  // The body with its own names again.
  std::shared_ptr<const Graph> Finish() {
    graph_.symbols.clear();
    size_t next = 0;
    for (NodeId id : graph_.inputs()) graph_.node(id).name = names_[next++];
    Outputs([&](size_t i) { return names_[next + i]; });
    return std::make_shared<const Graph>(std::move(graph_));
  }

 private:
  // Names the outputs anew; returns them as they were.
  template <class NameOf>
  std::vector<Output> Outputs(const NameOf& name_of) {
    std::vector<Output> before = graph_.outputs();
    graph_.ClearOutputs();
    for (size_t i = 0; i < before.size(); ++i) graph_.AddOutput(name_of(i), before[i].value);
    return before;
  }

  Graph graph_;
  std::vector<std::string> names_;  // of inputs, then outputs
};

// How many of a body's first outputs its node carries on to the next turn.
size_t Carried(const Node& node, size_t body) {
  if (node.op == OpKind::kScan) return static_cast<size_t>(node.Int("carries"));
  const bool turn = node.op == OpKind::kWhile && body == 1;
  return turn ? node.results.size() : 0;
}

// Casts that bodies made of what they capture, with whatever narrows them.
absl::Status Hoist(Graph& graph) {
  RLX_ASSIGN(const bool changed, passes::HoistCasts(graph));
  if (!changed) return absl::OkStatus();
  const absl::Status status = VerifyGraph(graph, GrownLimits());
  return status.ok() ? status : Internal("hoisting casts: ", status.message());
}

// Seconds and changes of a body count with the pass, and so do the nodes it leaves.
void AddTimings(const std::vector<PassTiming>& nested, std::vector<PassTiming>& timings) {
  for (size_t i = 0; i < nested.size(); ++i) {
    timings[i].seconds += nested[i].seconds;
    timings[i].changed |= nested[i].changed;
    timings[i].nodes_after += nested[i].nodes_after;
  }
}

}  // namespace

absl::Status RunNestedPasses(Graph& graph, const ResolvedOptions& options,
                             passes::PassContext& context, const StageObserver& observer,
                             std::vector<PassTiming>& timings) {
  const bool narrows = context.policy != PrecisionPolicy{};
  const size_t kept = context.kept_outputs;
  const std::vector<bool> counted = context.counted_inputs;
  std::vector<bool> in_full;
  std::optional<passes::Counts> counts;
  const StageObserver hears = {.after_pass = observer.after_pass_in_body,
                               .after_pass_in_body = observer.after_pass_in_body};
  for (NodeId id = 0; id < graph.size(); ++id) {
    Node& node = graph.node(id);
    if (Info(node.op).op_class != OpClass::kControlFlow) continue;
    if (narrows && in_full.empty()) {
      counts.emplace(graph, counted);
      in_full = passes::ComputedInFull(graph, kept, *counts);
    }
    for (size_t i = 0; i < node.subgraphs.size(); ++i) {
      Body body(graph, node, *node.subgraphs[i]);
      std::vector<PassTiming> seconds;
      if (hears.after_pass) hears.after_pass("", body.graph());
      const bool decides = narrows && in_full[static_cast<size_t>(id)];
      context.kept_outputs = decides ? std::numeric_limits<size_t>::max() : Carried(node, i);
      if (narrows) context.counted_inputs = counts->IntoBody(id, i);
      RLX_TRY(Annotate(RunPasses(body.graph(), options, context, hears, seconds),
                       Cat("in a graph of %", id)));
      AddTimings(seconds, timings);
      node.subgraphs[i] = body.Finish();
    }
  }
  context.kept_outputs = kept;
  context.counted_inputs = counted;
  return narrows ? Hoist(graph) : absl::OkStatus();
}

}  // namespace rlx::stages
