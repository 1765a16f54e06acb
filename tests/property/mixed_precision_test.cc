// SPDX-License-Identifier: Apache-2.0
// Mixed precision on random graphs: results stay within what the types allow, and nothing but f32
// changes its type.
#include "runtime/ir/tolerance.h"
#include "runtime/ir/verify.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/precision.h"
#include "tests/support/oracle.h"
#include "tests/support/property.h"
#include "tests/support/same_results.h"

namespace rlx::passes {
namespace {

using ::testing::AssertionFailure;
using ::testing::AssertionResult;
using ::testing::AssertionSuccess;

PrecisionPolicy RandomPolicy(Rng& rng) {
  PrecisionPolicy policy;
  policy.kind = static_cast<PrecisionPolicyKind>(rng() % 6);
  if (policy.kind != PrecisionPolicyKind::kCustom) return policy;
  for (std::string_view name : PrecisionClassNames()) {
    if (rng() % 2 == 0) policy.custom[std::string(name)] = static_cast<Precision>(rng() % 3);
  }
  return policy;
}

// How many live values have a type that is neither f32 nor made by this pass.
std::map<DType, int> Others(Graph graph) {
  std::map<DType, int> counts;
  EXPECT_TRUE(graph.Normalize().ok());
  for (const Node& node : graph.nodes()) {
    for (const TensorType& type : node.results) {
      if (IsExact(type.dtype) || type.dtype == DType::kF64) ++counts[type.dtype];
    }
  }
  return counts;
}

AssertionResult CloseResults(const Graph& before, const Graph& after, uint64_t seed) {
  const TensorMap inputs = test::RandomInputs(before, seed);
  const auto want = Evaluate(before, inputs), got = Evaluate(after, inputs);
  if (!want.ok() || !got.ok()) return AssertionFailure() << got.status().ToString();
  const Tolerance tolerance = ToleranceOf(after);
  for (size_t i = 0; i < want->size(); ++i) {
    AssertionResult close = test::CompareToOracle((*got)[i], (*want)[i], tolerance);
    if (!close) return close << " in output " << i;
  }
  return AssertionSuccess();
}

AssertionResult Check(const Graph& graph, Rng& rng) {
  Graph after = graph;
  std::vector<Remark> remarks;
  PassContext context;
  context.remarks = &remarks;
  context.policy = RandomPolicy(rng);
  absl::Status status = MixedPrecision(after, context);
  if (status.ok()) status = VerifyGraph(after);
  if (!status.ok()) return AssertionFailure() << status.ToString();
  for (size_t i = 0; i < graph.outputs().size(); ++i) {
    const Value was = graph.outputs()[i].value, is = after.outputs()[i].value;
    if (graph.type(was) != after.type(is))
      return AssertionFailure() << "output " << i << " differs";
  }
  if (Others(graph) != Others(after)) return AssertionFailure() << "other types changed";
  const DimBinding binding = test::RandomBinding(graph, rng);
  const auto bound_before = BindSymbols(graph, binding), bound_after = BindSymbols(after, binding);
  if (!bound_after.ok()) return AssertionFailure() << bound_after.status().ToString();
  AssertionResult close = CloseResults(*bound_before, *bound_after, rng());
  if (!close) close << "\nafter:\n" << Print(after, {.full_constants = false});
  return close;
}

TEST(MixedPrecision, StaysWithinTheTolerance) {
  test::CheckRandomGraphs(200, {.steps = 10, .smooth = true}, Check);
}

TEST(MixedPrecision, StaysWithinTheToleranceWithSymbols) {
  test::CheckRandomGraphs(100, {.steps = 10, .symbolic = true, .smooth = true}, Check);
}

}  // namespace
}  // namespace rlx::passes
