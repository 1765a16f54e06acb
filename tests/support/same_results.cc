// SPDX-License-Identifier: Apache-2.0
#include "tests/support/same_results.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "runtime/base/text.h"
#include "tests/support/expected_run.h"
#include "tests/support/oracle.h"

namespace rlx::test {
namespace {

using ::testing::AssertionFailure;
using ::testing::AssertionResult;
using ::testing::AssertionSuccess;

HostTensor RandomTensor(const TensorType& type, std::mt19937_64& rng) {
  const std::vector<int64_t> dims = type.StaticDims();
  const int64_t size = *type.NumElements();
  if (IsExact(type.dtype)) {
    std::vector<int64_t> values(size);
    for (int64_t& value : values) {
      value = static_cast<int64_t>(rng() % (type.dtype == DType::kBool ? 2 : 3));
    }
    return HostTensor::FromInts(type.dtype, dims, values);
  }
  std::vector<double> values(type.dtype == DType::kC64 ? 2 * size : size);
  for (double& value : values) value = static_cast<double>(rng() >> 11) * 0x1p-52 - 1;
  return HostTensor::FromDoubles(type.dtype, dims, values);
}

// The evaluator rounds where a graph casts to a narrower float, to either side when it came there
// by another way. Where such a value and its original cancel, that rounding is all that is left: so
// much of values of order one.
constexpr double kRounding = 0x1p-21;

bool Narrows(const Graph& graph) {
  return std::ranges::any_of(graph.nodes(), [&](const Node& node) {
    return node.op == OpKind::kCast && node.results[0].dtype == DType::kF32 &&
           graph.type(node.operands[0]).dtype == DType::kF64;
  });
}

bool OnlyRounding(const EvalTensor& got, const EvalTensor& want) {
  return got.dims == want.dims && got.dtype == want.dtype && !IsExact(want.dtype) &&
         std::ranges::equal(got.f, want.f,
                            [](double x, double y) { return std::abs(x - y) <= kRounding; });
}

AssertionResult SameOutputs(const Graph& before, const std::vector<EvalTensor>& expected,
                            const Graph& after, const std::vector<EvalTensor>& actual,
                            double tolerance) {
  if (expected.size() != actual.size()) return AssertionFailure() << "outputs differ in number";
  for (size_t i = 0; i < expected.size(); ++i) {
    const Output &was = before.outputs()[i], &is = after.outputs()[i];
    if (was.name != is.name) return AssertionFailure() << was.name << " became " << is.name;
    auto same = CompareToOracle(actual[i], expected[i], {tolerance, tolerance});
    if (!same && Narrows(before) && OnlyRounding(actual[i], expected[i])) continue;
    if (!same) return same << ", output " << was.name;
  }
  return AssertionSuccess();
}

}  // namespace

TensorMap RandomInputs(const Graph& graph, uint64_t seed) {
  TensorMap inputs;
  for (const Node& node : graph.nodes()) {
    if (node.op != OpKind::kInput && node.op != OpKind::kParam) continue;
    std::mt19937_64 rng(seed ^ std::hash<std::string>()(node.name));
    inputs[node.name] = RandomTensor(node.results[0], rng);
  }
  return inputs;
}

AssertionResult SameResults(const Graph& before, const Graph& after, uint64_t seed,
                            double tolerance) {
  const TensorMap inputs = RandomInputs(before, seed);
  const auto expected = Evaluate(before, inputs), actual = Evaluate(after, inputs);
  if (!expected.ok()) return AssertionFailure() << "before: " << Cat(expected.status().message());
  if (!actual.ok()) return AssertionFailure() << "after: " << Cat(actual.status().message());
  return SameOutputs(before, *expected, after, *actual, tolerance);
}

AssertionResult SameOutcome(const Graph& before, const Graph& after, uint64_t seed,
                            double tolerance) {
  const TensorMap inputs = RandomInputs(before, seed);
  const ExpectedRun expected = Expect(before, inputs);
  const auto actual = Evaluate(after, inputs);
  if (AssertionResult allowed = expected.Allows(actual.status()); !allowed) return allowed;
  if (!actual.ok()) return AssertionSuccess();
  return SameOutputs(before, expected.outputs, after, *actual, tolerance);
}

}  // namespace rlx::test
