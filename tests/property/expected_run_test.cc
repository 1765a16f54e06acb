// SPDX-License-Identifier: Apache-2.0
// The oracle of runs that may fail: what it says of values, and of errors dead and alive.
#include "tests/support/expected_run.h"

#include "runtime/base/status.h"
#include "tests/support/graphs.h"
#include "tests/support/property.h"
#include "tests/support/random_loops.h"
#include "tests/support/same_results.h"

namespace rlx::test {
namespace {

using ::testing::AssertionFailure;
using ::testing::AssertionResult;
using ::testing::AssertionSuccess;

struct Seen {
  int values = 0, dead = 0, live = 0;
};

// With values everywhere they are the evaluator's, to the bit; with an error that an output depends
// on, the evaluator has one too.
AssertionResult AgreesWithTheEvaluator(const Graph& graph, Rng& rng, Seen& seen) {
  const TensorMap inputs = RandomInputs(graph, rng());
  const auto want = Evaluate(graph, inputs);
  const auto got = EvaluateEach(graph, inputs);
  absl::Status live;
  for (const auto& output : got) live.Update(output.status());
  ++(want.ok() ? seen.values : live.ok() ? seen.dead : seen.live);
  if (!want.ok()) {
    if (live.ok() || live.code() == want.status().code()) return AssertionSuccess();
    return AssertionFailure() << Cat(live, " where ", want.status());
  }
  if (!live.ok()) return AssertionFailure() << Cat(live, " where nothing fails");
  for (size_t i = 0; i < want->size(); ++i) {
    const EvalTensor &is = *got[i], &was = (*want)[i];
    if (is.dtype != was.dtype || is.dims != was.dims || is.f != was.f || is.i != was.i)
      return AssertionFailure() << "output " << i << " differs";
  }
  return AssertionSuccess();
}

TEST(ExpectedRun, AgreesWithTheEvaluator) {
  Seen seen;
  CheckGraphs(1000, RandomLoops, [&](const Graph& graph, Rng& rng) {
    return AgreesWithTheEvaluator(graph, rng, seen);
  });
  EXPECT_GT(seen.values, 0);
  EXPECT_GT(seen.live, 0);
  ::testing::Test::RecordProperty("values", seen.values);
  ::testing::Test::RecordProperty("dead", seen.dead);
  ::testing::Test::RecordProperty("live", seen.live);
}

// A scan whose stack reads a row that is not there, and whose carry does not.
std::string ScanOf(std::string_view output) {
  return Cat(R"(mir "m" {
  %0 = input "x" : f32[2,4]
  %1 = constant {value = i64[] (7)} : i64[]
  %2 = scan(%0, %1) {carries = 1, sequences = 0, length = [3]} graph "" {
    %0 = input : f32[2,4]
    %1 = input : i64[]
    %2 = gather(%0, %1) {axis = 0} : f32[4]
    %3 = neg(%0) : f32[2,4]
    output "" = %3
    output "" = %2
  } : f32[2,4], f32[3,4]
  output "y" = )",
             output, "\n}\n");
}

ExpectedRun ExpectedOf(std::string_view output) {
  const Graph graph = ParseGraph(ScanOf(output));
  return Expect(graph, RandomInputs(graph, 1));
}

TEST(ExpectedRun, ErrorsOfDeadCodeMayVanish) {
  const ExpectedRun run = ExpectedOf("%2");
  EXPECT_EQ(run.all.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(run.live.ok());
  ASSERT_EQ(run.outputs.size(), 1U);
  EXPECT_TRUE(run.Allows(absl::OkStatus()));
  EXPECT_TRUE(run.Allows(run.all));
  EXPECT_FALSE(run.Allows(Internal("another")));
}

TEST(ExpectedRun, ErrorsOfLiveCodeMayNot) {
  const ExpectedRun run = ExpectedOf("%2.1");
  EXPECT_EQ(run.live.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(run.outputs.empty());
  EXPECT_FALSE(run.Allows(absl::OkStatus()));
  EXPECT_TRUE(run.Allows(run.live));
}

}  // namespace
}  // namespace rlx::test
