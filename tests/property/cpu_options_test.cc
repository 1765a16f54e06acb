// SPDX-License-Identifier: Apache-2.0
// Random graphs under random options of every kind (claims, forced kinds, dispatch, limits, passes
// left out), compiled for the CPU and run: against the reference evaluator.
#include <algorithm>

#include "runtime/base/status.h"
#include "runtime/base/text.h"
#include "runtime/ir/tolerance.h"
#include "runtime/ir/verify.h"
#include "runtime/stages/pipeline.h"
#include "runtime/stages/stages.h"
#include "tests/property/cpu_runner.h"
#include "tests/support/expected_run.h"
#include "tests/support/oracle.h"
#include "tests/support/property.h"
#include "tests/support/random_loops.h"
#include "tests/support/random_options.h"
#include "tests/support/same_results.h"

namespace rlx::test {
namespace {

using ::testing::AssertionFailure;
using ::testing::AssertionResult;
using ::testing::AssertionSuccess;

// Whether an op of this kind is there that has no decomposition: who does not claim it cannot run
// it.
bool IsPrimitive(const std::string& claim) {
  return std::ranges::any_of(AllOps(), [&](const OpInfo* op) {
    return op->level == Stage::kMir && op->claim == claim && op->decompose == nullptr;
  });
}

// As they are drawn, but that nothing is claimed or forced that the CPU lacks, and no primitive
// kept from it: else next to nothing would run.
CompileOptions AnyOptions(Rng& rng) {
  static const std::vector<std::string> claims =
      CpuRunner().backend().ClaimedKinds(CpuRunner().target());
  const auto foreign = [](const std::string& claim) {
    return std::ranges::find(claims, claim) == claims.end();
  };
  CompileOptions options = RandomOptions(rng);
  if (auto& native = options.kernel_dispatch.force_native_kinds) std::erase_if(*native, foreign);
  if (auto& supported = options.supported_ops) {
    std::erase_if(*supported, foreign);
    for (const std::string& claim : claims)
      if (IsPrimitive(claim)) supported->insert(claim);
  }
  return options;
}

struct Count {
  int ran = 0, mended = 0, refused = 0;  // as drawn; after some changes; whatever is changed
};

// What makes a refused draw run: the kinds that its report names are no longer forced to stay as
// they are, by name, by the policy, or by the lack of a pass that takes them apart. False when
// there is nothing left to change.
bool Mend(const DispatchReport& report, CompileOptions& options) {
  bool changed = false;
  KernelDispatch& dispatch = options.kernel_dispatch;
  for (const DispatchReport::Unsupported& node : report.unsupported) {
    if (dispatch.force_native_kinds) changed |= dispatch.force_native_kinds->erase(node.claim) > 0;
  }
  if (changed) return true;
  if (dispatch.policy == DispatchPolicy::kForceNative) {
    dispatch.policy.reset();
    return true;
  }
  for (const passes::Pass& pass : stages::AllPasses()) {
    if (!pass.fusion) changed |= options.disabled_passes->erase(std::string(pass.name)) > 0;
  }
  return changed;
}

// Compiled as drawn, or with as few changes as it takes to run.
absl::StatusOr<stages::CompileResult> Compile(const Graph& graph, CompileOptions options,
                                              Count& count) {
  for (int* counter = &count.ran;; counter = &count.mended) {
    const stages::CompileRequest request{
        .options = options, .backend = &CpuRunner().backend(), .target = CpuRunner().target()};
    RLX_ASSIGN(stages::CompileResult result, stages::CompileGraphStages(graph, request));
    const bool refused = !result.dispatch.compile_ready;
    if (refused == (result.program != nullptr) || refused == result.dispatch.unsupported.empty())
      return Internal("a program and a report that disagree");
    if (refused && Mend(result.dispatch, options)) continue;
    ++(refused ? count.refused : *counter);
    return result;
  }
}

// Without a tolerance: what the types of the compiled graph allow.
AssertionResult RunsAsTheOracle(const Graph& graph, Rng& rng, std::optional<Tolerance> tolerance,
                                Count& count) {
  const auto compiled = Compile(graph, AnyOptions(rng), count);
  if (!compiled.ok()) return AssertionFailure() << Cat(compiled.status());
  if (compiled->program == nullptr) return AssertionSuccess();
  const TensorMap inputs = RandomInputs(graph, rng());
  const ExpectedRun want = Expect(graph, inputs);
  const auto got = RunProgram(CpuRunner().device(), compiled->program, inputs);
  if (AssertionResult allowed = want.Allows(got.status()); !allowed) return allowed;
  if (!got.ok()) return AssertionSuccess();
  const Tolerance was = ToleranceOf(graph), is = ToleranceOf(compiled->lir.graph);
  const Tolerance allowed = tolerance.value_or(
      Tolerance{std::max(was.relative, is.relative), std::max(was.scale, is.scale)});
  for (size_t i = 0; i < want.outputs.size(); ++i) {
    AssertionResult close = CompareToOracle((*got)[i], want.outputs[i], allowed);
    if (!close) return close << " in output " << i << "\n" << Print(compiled->lir.graph);
  }
  return AssertionSuccess();
}

void Check(int count, const std::function<Graph(uint64_t)>& make,
           std::optional<Tolerance> tolerance = {}) {
  Count counted;
  CheckGraphs(count, make, [&](const Graph& graph, Rng& rng) {
    return RunsAsTheOracle(graph, rng, tolerance, counted);
  });
  ::testing::Test::RecordProperty("ran", counted.ran);
  ::testing::Test::RecordProperty("mended", counted.mended);
  ::testing::Test::RecordProperty("refused", counted.refused);
  EXPECT_GT(counted.ran, 0);
  EXPECT_EQ(counted.refused, 0) << "of " << counted.ran + counted.mended;
}

std::function<Graph(uint64_t)> Graphs(const RandomGraphOptions& options) {
  return [options](uint64_t seed) { return RandomGraph(seed, options); };
}

TEST(CpuOptions, GraphsAgreeWithTheOracle) { Check(60, Graphs({.table = true})); }

TEST(CpuOptions, DoublesAgreeWithTheOracle) {
  Check(24, Graphs({.steps = 12, .dtype = DType::kF64}));
}

TEST(CpuOptions, BodiesAgreeWithTheOracle) { Check(32, Graphs({.steps = 6, .loops = true})); }

TEST(CpuOptions, LoopsAgreeWithTheOracle) { Check(60, RandomLoops, Tolerance{1e-4, 1e-4}); }

TEST(CpuOptions, BoundSymbolsAgreeWithTheOracle) {
  Check(24, [](uint64_t seed) {
    Rng rng(seed);
    const Graph graph = RandomGraph(seed, {.steps = 10, .symbolic = true, .loops = true});
    return *BindSymbols(graph, RandomBinding(graph, rng));
  });
}

}  // namespace
}  // namespace rlx::test
