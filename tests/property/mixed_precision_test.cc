// SPDX-License-Identifier: Apache-2.0
// Mixed precision on random graphs: results stay within what the types allow, and nothing but f32
// changes its type.
#include "runtime/ir/builder.h"
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

// Whole numbers of some thousands, which no 16-bit type holds, to something exact that they decide.
Graph RandomDecision(uint64_t seed) {
  Rng rng(seed);
  const auto below = [&](uint64_t n) { return static_cast<int64_t>(rng() % n); };
  Graph graph;
  GraphBuilder b(graph);
  const auto number = [&](double v) { return b.Scalar(DType::kF32, v); };
  Value x = b.Unary(OpKind::kRound, b.Mul(b.Input("x", {DType::kF32, {2, 6}}), number(5000)));
  const Value base = x;
  for (int64_t step = below(6); step-- > 0;) {
    switch (below(6)) {
      case 0:
        x = b.Add(x, number(static_cast<double>(below(9))));
        break;
      case 1:
        x = b.Sub(base, x);
        break;
      case 2:
        x = b.Emit(OpKind::kMax, {x, b.Unary(OpKind::kNeg, base)});
        break;
      case 3:
        x = b.Reshape(b.Transpose(x, {1, 0}), {2, 6});
        break;
      case 4:
        x = b.Add(x, b.Reduce(OpKind::kReduceSum, x, {1}, true));
        break;
      default:
        x = b.Where(b.Emit(OpKind::kLt, {x, base}), x, b.Mul(base, number(0.5)));
    }
  }
  switch (below(4)) {
    case 0:
      b.Output("y", b.Cast(x, rng() % 2 == 0 ? DType::kI32 : DType::kI64));
      break;
    case 1:
      b.Output("y", b.Emit(OpKind::kLe, {x, b.Add(base, number(1))}));
      break;
    case 2:
      b.Output("y", b.EmitAll(OpKind::kTopK, {x}, {{"k", int64_t{2}}, {"axis", int64_t{1}}})[1]);
      break;
    default:
      b.Output("y", b.Cast(b.Unary(OpKind::kFloor, b.Mul(x, number(0.25))), DType::kI16));
  }
  EXPECT_TRUE(b.status().ok()) << b.status().ToString();
  return graph;
}

TEST(MixedPrecision, DecidesAsBefore) { test::CheckGraphs(200, RandomDecision, Check); }

TEST(MixedPrecision, StaysWithinTheToleranceWhereResultsJump) {
  test::CheckRandomGraphs(100, {.steps = 10}, Check);
}

}  // namespace
}  // namespace rlx::passes
