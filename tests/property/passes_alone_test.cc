// SPDX-License-Identifier: Apache-2.0
// Each pass alone on random graphs: the result verifies, keeps its signature and computes the same.
#include "runtime/ir/verify.h"
#include "runtime/stages/pipeline.h"
#include "tests/support/property.h"
#include "tests/support/same_results.h"

namespace rlx::passes {
namespace {

using ::testing::AssertionFailure;
using ::testing::AssertionResult;
using ::testing::AssertionSuccess;

constexpr int kGraphs = 100;

std::vector<std::string> Signature(const Graph& graph) {
  std::vector<std::string> names;
  for (NodeId id : graph.inputs()) names.push_back(graph.node(id).name);
  for (NodeId id : graph.params()) names.push_back(graph.node(id).name);
  for (const Output& output : graph.outputs()) names.push_back(output.name);
  return names;
}

// The sources of every author's node, so that losing or inventing one shows.
Graph Stamped(Graph graph) {
  for (NodeId id = 0; id < graph.size(); ++id) {
    graph.node(id).sources = {{SourceRef::Kind::kMir, id, ""}};
  }
  return graph;
}

AssertionResult KeepsSources(const Graph& after, const std::vector<Remark>& remarks) {
  for (const Node& node : after.nodes()) {
    if (node.sources.empty()) return AssertionFailure() << Name(node.op) << " has no source";
  }
  for (const Remark& remark : remarks) {
    if (remark.sources.empty()) return AssertionFailure() << "no source: " << remark.message;
  }
  return AssertionSuccess();
}

// What the pipeline asks before it runs a pass at all.
bool MayFind(const Pass& pass, const Graph& graph) {
  OpSet held;
  for (const Node& node : graph.nodes()) held.Insert(node.op);
  return pass.needs.empty() || held.Intersects(pass.needs);
}

// The pass, and perhaps it alone on the bodies of control flow, as the pipeline has them.
absl::Status Run(const Pass& pass, Graph& graph, PassContext& context, bool bodies) {
  RLX_TRY(pass.run(graph, context));
  if (!bodies) return absl::OkStatus();
  bool changed = context.changed;
  stages::ResolvedOptions options;
  options.unfuse_elementwise_regions = pass.name == "unfuse_elementwise_regions";
  std::vector<PassTiming> timings;
  for (const Pass& other : stages::AllPasses()) {
    timings.push_back({.pass = std::string(other.name)});
    if (other.name != pass.name) options.disabled_passes.emplace(other.name);
  }
  RLX_TRY(stages::RunNestedPasses(graph, options, context, {}, timings));
  for (const PassTiming& timing : timings) changed |= timing.changed;
  context.changed = changed;
  return absl::OkStatus();
}

// `changed` counts the graphs that the pass rewrote.
AssertionResult CheckPass(const Pass& pass, const Graph& original, const PassContext& options,
                          Rng& rng, int& changed, bool bodies) {
  const Graph before = Stamped(original);
  Graph after = before;
  std::vector<Remark> remarks;
  PassContext context = options;
  context.remarks = &remarks;
  absl::Status status = Run(pass, after, context, bodies);
  if (status.ok()) status = VerifyGraph(after);
  if (!status.ok()) return AssertionFailure() << status.ToString() << "\n" << Print(after);
  if (Signature(after) != Signature(before)) return AssertionFailure() << "another signature";
  if (AssertionResult kept = KeepsSources(after, remarks); !kept) return kept;
  const bool may_find = bodies || MayFind(pass, before);  // what bodies hold is not looked at
  if (!remarks.empty() && !may_find) {
    return AssertionFailure() << "says more than its row does: " << remarks.front().message;
  }
  if (!context.changed) {
    // The nodes of a body are told where they are from when the passes come to it.
    const PrintOptions how = {.sources = !bodies};
    if (Print(after, how) == Print(before, how)) return AssertionSuccess();
    return AssertionFailure() << "changed without saying so:\n" << Print(after);
  }
  if (!may_find) return AssertionFailure() << "finds more than its row says";
  ++changed;
  const DimBinding binding = test::RandomBinding(before, rng);
  const auto bound_before = BindSymbols(before, binding), bound_after = BindSymbols(after, binding);
  if (!bound_before.ok() || !bound_after.ok()) {
    return AssertionFailure() << "cannot be bound: " << bound_after.status().ToString();
  }
  AssertionResult same = test::SameResults(*bound_before, *bound_after, rng());
  if (!same) same << "\nafter:\n" << Print(after, {.full_constants = false});
  return same;
}

// Whether a pass looks for ops that exporters write out: they are drawn more often for it.
bool Raises(const Pass& pass) {
  return pass.name.starts_with("raise_") || pass.name == "fold_batch_norm" ||
         pass.name == "join_heads";
}

// A target that claims a random part of all kinds, refuses some nodes (by op and type) and allows
// small regions.
PassContext AnyTarget(Rng& rng) {
  PassContext context;
  context.target = static_cast<FusionTarget>(rng() % kFusionTargetCount);
  context.limits = {static_cast<uint32_t>(1 + rng() % 6), static_cast<uint32_t>(1 + rng() % 4)};
  for (const OpInfo* op : AllOps()) {
    if (rng() % 2 == 0) context.claims.emplace(op->claim);
    if (rng() % 8 == 0) context.native.emplace(op->claim);
  }
  const uint64_t refused = rng();
  // What fusions to come may take: any composite, half of the time.
  for (const OpInfo* op : AllOps()) {
    if ((refused & 1) != 0 && op->decompose != nullptr) context.awaited.Insert(op->kind);
  }
  context.runs = [refused](const Graph& g, NodeId id) {
    const Node& node = g.node(id);
    // Reductions by rows alone run.
    if (Info(node.op).claim == "Reduce") return node.results[0].rank() == 1;
    return (refused >> (static_cast<int>(node.op) % 64) & 1) == 0;
  };
  return context;
}

class PassAlone : public ::testing::TestWithParam<std::string_view> {
 protected:
  const Pass& pass() const {
    const auto passes = stages::AllPasses();
    return *std::ranges::find(passes, GetParam(), &Pass::name);
  }

  // Returns how many graphs the pass rewrote.
  int Check(int count, const test::RandomGraphOptions& graphs,
            const std::function<PassContext(Rng&)>& context, bool bodies = false) {
    int changed = 0;
    test::CheckRandomGraphs(count, graphs, [&](const Graph& graph, Rng& rng) {
      const PassContext options = context(rng);
      return CheckPass(pass(), graph, options, rng, changed, bodies);
    });
    return changed;
  }
};

TEST_P(PassAlone, KeepsTheMeaning) {
  Check(kGraphs, {.table = true}, [](Rng&) { return PassContext{}; });
}

TEST_P(PassAlone, KeepsTheMeaningWithSymbols) {
  Check(kGraphs / 2, {.symbolic = true}, [](Rng&) { return PassContext{}; });
}

TEST_P(PassAlone, KeepsTheMeaningOfWhatExportersWrite) {
  if (!Raises(pass())) GTEST_SKIP() << "looks for nothing that exporters write out";
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    const int changed =
        Check(kGraphs, {.dtype = dtype, .exported = true}, [](Rng&) { return PassContext{}; });
    EXPECT_GT(changed, test::GraphsOf(kGraphs) / 20);
  }
  Check(kGraphs / 2, {.symbolic = true, .exported = true}, [](Rng&) { return PassContext{}; });
}

// Control flow whose bodies are drawn as the graph around them is, and gets the pass too.
TEST_P(PassAlone, KeepsTheMeaningOfBodies) {
  Check(kGraphs / 2, {.steps = 8, .table = true, .exported = Raises(pass()), .loops = true},
        AnyTarget, true);
  Check(
      kGraphs / 4, {.steps = 8, .symbolic = true, .loops = true},
      [](Rng&) { return PassContext{}; }, true);
}

// Every pass finds work among these, or among 16-bit floats: there a cast rounds in the evaluator
// too.
TEST_P(PassAlone, KeepsTheMeaningForAnyTarget) {
  // Products of codes that such a target takes are rare among random ones.
  const bool codes = pass().name == "fuse_qdq" || pass().name == "fuse_dequant_matmul";
  const int changed = Check((codes ? 4 : 2) * kGraphs,
                            {.table = true, .exported = Raises(pass()), .codes = codes}, AnyTarget);
  // What narrows has its own test: it changes results. What widens finds no 16-bit floats here; the
  // conformance suite runs it in f16 and bf16.
  if (pass().name != "mixed_precision" && pass().name != "widen_refused") {
    EXPECT_GT(changed, test::GraphsOf(kGraphs) / 30);
  }
}

std::vector<std::string_view> PassNames() {
  std::vector<std::string_view> names;
  for (const Pass& pass : stages::AllPasses()) names.push_back(pass.name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Every, PassAlone, ::testing::ValuesIn(PassNames()),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace rlx::passes
