// SPDX-License-Identifier: Apache-2.0
// A padded graph computes, in the first places of its outputs, what the symbolic graph computes at
// the true sizes, whatever lies in padding.
#include <algorithm>

#include "runtime/ir/verify.h"
#include "runtime/stages/stages.h"
#include "tests/support/oracle.h"
#include "tests/support/padding.h"
#include "tests/support/random_graph.h"
#include "tests/support/same_results.h"

namespace rlx::passes {
namespace {

DimBinding Capacity(const Graph& graph) {
  DimBinding capacity;
  for (const auto& [name, range] : graph.symbols) capacity[name] = range.max;
  return capacity;
}

// How many graphs could be padded, and why the others not.
struct Count {
  int padded = 0, refused = 0;
  std::map<std::string, int> reasons;
};

void CheckPadded(const Graph& graph, Rng& rng, Count& count) {
  const absl::StatusOr<PaddedGraph> padded = PadToCapacity(graph, Capacity(graph));
  if (!padded.ok()) {
    ASSERT_TRUE(absl::IsFailedPrecondition(padded.status())) << padded.status().ToString();
    ++count.refused;
    ++count.reasons[std::string(padded.status().message())];
    return;
  }
  ++count.padded;
  ASSERT_TRUE(VerifyGraph(padded->graph).ok()) << VerifyGraph(padded->graph).ToString();
  const DimBinding sizes = test::RandomBinding(graph, rng);
  const auto bound = BindSymbols(graph, sizes);
  ASSERT_TRUE(bound.ok()) << bound.status().ToString();
  const TensorMap inputs = test::RandomInputs(*bound, rng());
  const auto want = Evaluate(*bound, inputs);
  ASSERT_TRUE(want.ok()) << want.status().ToString();
  const auto got = Evaluate(padded->graph, test::PaddedInputs(*padded, inputs, sizes));
  ASSERT_TRUE(got.ok()) << got.status().ToString() << "\n" << Print(padded->graph);
  ASSERT_EQ(got->size(), want->size());
  for (size_t i = 0; i < want->size(); ++i) {
    EXPECT_TRUE(test::CompareToOracle(test::FirstPlaces((*got)[i], (*want)[i].dims), (*want)[i],
                                      {1e-9, 1e-9}))
        << bound->outputs()[i].name << "\n"
        << Print(padded->graph, {.full_constants = false});
  }
}

// Most can be: a reshape may tear what is padded.
void CheckMostPadded(const Count& count) {
  std::string reasons;
  for (const auto& [reason, times] : count.reasons) reasons += Cat(times, " x ", reason, "\n");
  EXPECT_GE(count.padded, 9 * count.refused) << reasons;
}

TEST(Padding, NeverChangesAResult) {
  Count count;
  test::ForEachRandomGraph(300, {.symbolic = true, .control_flow = false},
                           [&](const Graph& graph, Rng& rng) { CheckPadded(graph, rng, count); });
  CheckMostPadded(count);
}

// After fusion too: what is specialized is a compiled graph.
TEST(Padding, NeverChangesAResultOfAFusedGraph) {
  Count count;
  test::ForEachRandomGraph(150, {.symbolic = true}, [&](const Graph& graph, Rng& rng) {
    const auto compiled = stages::CompileGraphStages(graph, {});
    ASSERT_TRUE(compiled.ok()) << compiled.status().ToString();
    CheckPadded(compiled->lir.graph, rng, count);
  });
  CheckMostPadded(count);
}

}  // namespace
}  // namespace rlx::passes
