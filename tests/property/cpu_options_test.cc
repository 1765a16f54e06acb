// SPDX-License-Identifier: Apache-2.0
// Random graphs under random options of every kind (claims, forced kinds, dispatch, limits, passes
// left out), compiled for the CPU and run: against the reference evaluator.
#include <algorithm>

#include "backends/cpu/cpu_backend.h"
#include "runtime/base/status.h"
#include "runtime/base/text.h"
#include "runtime/ir/tolerance.h"
#include "runtime/ir/verify.h"
#include "runtime/stages/stages.h"
#include "tests/support/oracle.h"
#include "tests/support/property.h"
#include "tests/support/random_loops.h"
#include "tests/support/random_options.h"
#include "tests/support/run_on_backend.h"
#include "tests/support/same_results.h"

namespace rlx::test {
namespace {

using ::testing::AssertionFailure;
using ::testing::AssertionResult;
using ::testing::AssertionSuccess;

const BackendRunner& Runner() {
  static const auto backend = cpu::MakeCpuBackend();
  static const auto runner = BackendRunner::Create(*backend, 2);
  return *runner;
}

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
  static const std::vector<std::string> claims = Runner().backend().ClaimedKinds(Runner().target());
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
  int ran = 0, refused = 0;
};

// Without a tolerance: what the types of the compiled graph allow.
AssertionResult RunsAsTheOracle(const Graph& graph, Rng& rng, std::optional<Tolerance> tolerance,
                                Count& count) {
  const stages::CompileRequest request{
      .options = AnyOptions(rng), .backend = &Runner().backend(), .target = Runner().target()};
  const auto compiled = stages::CompileGraphStages(graph, request);
  if (!compiled.ok()) return AssertionFailure() << Cat(compiled.status());
  const bool refused = !compiled->dispatch.compile_ready;
  if (refused == (compiled->program != nullptr) ||
      refused == compiled->dispatch.unsupported.empty())
    return AssertionFailure() << "a program and a report that disagree";
  ++(refused ? count.refused : count.ran);
  if (refused) return AssertionSuccess();
  const TensorMap inputs = RandomInputs(graph, rng());
  const auto want = Evaluate(graph, inputs);
  const auto got = RunProgram(Runner().device(), compiled->program, inputs);
  if (got.status().code() != want.status().code())
    return AssertionFailure() << Cat(got.status(), " where ", want.status());
  if (!want.ok()) return AssertionSuccess();
  const Tolerance was = ToleranceOf(graph), is = ToleranceOf(compiled->lir.graph);
  const Tolerance allowed = tolerance.value_or(
      Tolerance{std::max(was.relative, is.relative), std::max(was.scale, is.scale)});
  for (size_t i = 0; i < want->size(); ++i) {
    AssertionResult close = CompareToOracle((*got)[i], (*want)[i], allowed);
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
  ::testing::Test::RecordProperty("refused", counted.refused);
  // What is forced to stay native where the CPU has no kernel for its type is refused.
  EXPECT_GE(2 * counted.ran, counted.refused) << counted.ran << " ran";
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
