// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "runtime/base/text.h"
#include "runtime/ir/text.h"
#include "runtime/ir/tolerance.h"
#include "runtime/ir/verify.h"
#include "runtime/stages/stages.h"
#include "tests/property/cpu_runner.h"
#include "tests/support/graphs.h"
#include "tests/support/oracle.h"
#include "tests/support/property.h"
#include "tests/support/random_graph.h"
#include "tests/support/random_options.h"
#include "tests/support/same_results.h"

namespace rlx::test {
namespace {

// Fused, planned, compiled and run: the meaning stays.
void ExpectSame(const Graph& graph, Rng& rng, const CompileOptions& options) {
  const TensorMap inputs = RandomInputs(graph, rng());
  const auto want = Evaluate(graph, inputs);
  ASSERT_TRUE(want.ok()) << Cat(want.status());
  const auto got = CpuRunner().Run(graph, inputs, options);
  ASSERT_TRUE(got.ok()) << Cat(got.status());
  ASSERT_EQ(got->size(), want->size());
  const Tolerance tolerance = ToleranceOf(graph);
  for (size_t i = 0; i < want->size(); ++i) {
    EXPECT_TRUE(CompareToOracle((*got)[i], (*want)[i], tolerance)) << "output " << i;
  }
}

TEST(CpuGraphs, FusedGraphsAgreeWithTheOracle) {
  ForEachRandomGraph(150, {}, [](const Graph& graph, Rng& rng) { ExpectSame(graph, rng, {}); });
}

TEST(CpuGraphs, UnfusedGraphsAgreeWithTheOracle) {
  CompileOptions options;
  options.fusion.skip_fusion = true;
  ForEachRandomGraph(60, {},
                     [&](const Graph& graph, Rng& rng) { ExpectSame(graph, rng, options); });
}

TEST(CpuGraphs, BoundSymbolicGraphsAgreeWithTheOracle) {
  ForEachRandomGraph(60, {.symbolic = true}, [](const Graph& graph, Rng& rng) {
    const auto bound = BindSymbols(graph, RandomBinding(graph, rng));
    ASSERT_TRUE(bound.ok()) << Cat(bound.status());
    ExpectSame(*bound, rng, {});
  });
}

TEST(CpuGraphs, DoublesAgreeWithTheOracle) {
  ForEachRandomGraph(60, {.dtype = DType::kF64},
                     [](const Graph& graph, Rng& rng) { ExpectSame(graph, rng, {}); });
}

// What the options make of it, run: within what the types of the compiled graph allow.
::testing::AssertionResult RunsWithinTheTolerance(const Graph& graph, const CompileOptions& options,
                                                  Rng& rng) {
  const stages::CompileRequest request{
      .options = options, .backend = &CpuRunner().backend(), .target = CpuRunner().target()};
  const auto compiled = stages::CompileGraphStages(graph, request);
  if (!compiled.ok()) return ::testing::AssertionFailure() << Cat(compiled.status());
  const TensorMap inputs = RandomInputs(graph, rng());
  const auto want = Evaluate(graph, inputs);
  const auto got = CpuRunner().Run(graph, inputs, options);
  if (!want.ok() || !got.ok()) return ::testing::AssertionFailure() << Cat(got.status());
  const Tolerance was = ToleranceOf(graph), is = ToleranceOf(compiled->lir.graph);
  const Tolerance tolerance = {std::max(was.relative, is.relative), std::max(was.scale, is.scale)};
  for (size_t i = 0; i < want->size(); ++i) {
    auto close = CompareToOracle((*got)[i], (*want)[i], tolerance);
    if (!close) return close << " in output " << i << "\n" << Print(compiled->lir.graph);
  }
  return ::testing::AssertionSuccess();
}

TEST(CpuGraphs, NarrowedGraphsAgreeWithTheOracle) {
  CheckRandomGraphs(40, {.steps = 8, .smooth = true}, [](const Graph& graph, Rng& rng) {
    CompileOptions options;
    DrawPrecision(rng, options);
    return RunsWithinTheTolerance(graph, options, rng);
  });
}

TEST(CpuGraphs, NarrowFloatsAgreeWithTheOracle) {
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    CheckRandomGraphs(
        30, {.steps = 6, .dtype = dtype, .casts = false, .smooth = true},
        [](const Graph& graph, Rng& rng) { return RunsWithinTheTolerance(graph, {}, rng); });
  }
}

// With dead code elimination off what nobody reads stays, and is not run.
TEST(CpuGraphs, DeadNodesRunNothing) {
  const Graph graph = ParseGraph(R"(mir "dead" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,3]
    %2 = input "ids" : i64[1]
    %3 = exp(%0)
    %4 = matmul(%3, %1)
    %5 = gather(%0, %2)
    %6 = topk(%0) {k = 2, axis = 1}
    %7 = tanh(%0)
    output "y" = %7
  })");
  CompileOptions options;
  options.dce = false;
  Rng rng(1);
  EXPECT_TRUE(RunsWithinTheTolerance(graph, options, rng));
}

TEST(CpuGraphs, SwitchesChangeNothing) {
  CheckRandomGraphs(40, {}, [](const Graph& graph, Rng& rng) {
    return RunsWithinTheTolerance(graph, RandomSwitches(rng), rng);
  });
}

}  // namespace
}  // namespace rlx::test
