// SPDX-License-Identifier: Apache-2.0
// What a padded program computes on the CPU, in the types that it really computes in, is what the
// program of the true sizes computes: the evaluator, which works in double, would not see a sum
// that leaves the range of f16, nor a mask that is not low enough.
#include "runtime/ir/builder.h"
#include "runtime/ir/verify.h"
#include "runtime/stages/stages.h"
#include "tests/property/cpu_runner.h"
#include "tests/support/oracle.h"
#include "tests/support/padding.h"
#include "tests/support/property.h"
#include "tests/support/random_options.h"
#include "tests/support/same_results.h"

namespace rlx::test {
namespace {

using ::testing::AssertionFailure;
using ::testing::AssertionResult;
using ::testing::AssertionSuccess;

// How much was compared.
int compared = 0;

AssertionResult SamePadded(const stages::CompileResult& compiled, const DimBinding& capacity,
                           const DimBinding& sizes, uint64_t seed) {
  const device::Backend* backend = &CpuRunner().backend();
  const auto exact = compiled.Specialize(sizes, backend, CpuRunner().target());
  if (!exact.ok()) return AssertionFailure() << exact.status().ToString();
  const auto padded = compiled.SpecializeUpTo(capacity, backend, CpuRunner().target());
  if (absl::IsFailedPrecondition(padded.status())) return AssertionSuccess();
  if (!padded.ok()) return AssertionFailure() << padded.status().ToString();
  const TensorMap inputs = RandomInputs(exact->lir.graph, seed);
  const auto want = RunProgram(CpuRunner().device(), exact->program, inputs);
  if (!want.ok()) return AssertionFailure() << want.status().ToString();
  const passes::PaddedGraph graph{padded->lir.graph, padded->lir.extents};
  const auto got =
      RunProgram(CpuRunner().device(), padded->program, PaddedInputs(graph, inputs, sizes));
  if (!got.ok()) return AssertionFailure() << got.status().ToString();
  const Tolerance once = ToleranceOf(exact->lir.graph);
  for (size_t i = 0; i < want->size(); ++i) {
    const EvalTensor right = EvalTensor::From((*want)[i]);
    const EvalTensor first = FirstPlaces(EvalTensor::From((*got)[i]), right.dims);
    AssertionResult close = CompareToOracle(first, right, {2 * once.relative, 2 * once.scale});
    if (!close) return close << " in output " << i << " of\n" << Print(padded->lir.graph);
  }
  ++compared;
  return AssertionSuccess();
}

AssertionResult SameInABucket(const Graph& graph, const CompileOptions& options, Rng& rng) {
  const stages::CompileRequest request{
      .options = options, .backend = &CpuRunner().backend(), .target = CpuRunner().target()};
  const auto compiled = stages::CompileGraphStages(graph, request);
  if (!compiled.ok()) return AssertionFailure() << compiled.status().ToString();
  DimBinding capacity;
  for (const auto& [name, range] : graph.symbols) capacity[name] = range.max;
  const DimBinding sizes = RandomBinding(graph, rng);
  return SamePadded(*compiled, capacity, sizes, rng());
}

TEST(PaddingOnCpu, NeverChangesAResultInAnyType) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    SCOPED_TRACE(Name(dtype));
    compared = 0;
    CheckRandomGraphs(
        16, {.steps = 8, .dtype = dtype, .symbolic = true, .casts = false, .smooth = true},
        [](const Graph& graph, Rng& rng) { return SameInABucket(graph, {}, rng); });
    EXPECT_GT(compared, GraphsOf(16) / 2);
  }
}

TEST(PaddingOnCpu, NeverChangesAResultUnderAPolicy) {
  compared = 0;
  CheckRandomGraphs(20, {.steps = 8, .symbolic = true, .smooth = true},
                    [](const Graph& graph, Rng& rng) {
                      CompileOptions options;
                      DrawPrecision(rng, options);
                      return SameInABucket(graph, options, rng);
                    });
  EXPECT_GT(compared, GraphsOf(20) / 2);
}

DType DrawFloat(Rng& rng) {
  constexpr DType kFloats[] = {DType::kF16, DType::kBF16, DType::kF32, DType::kF64};
  return kFloats[rng() % 4];
}

// An op along many rows of large numbers: their sum and their count leave the range of 16 bits.
Graph LongColumns(uint64_t seed) {
  Rng rng(seed);
  constexpr int64_t kMost[] = {100, 1500, 5000};
  Graph graph;
  GraphBuilder b(graph);
  graph.symbols["rows"] = {1, kMost[rng() % 3]};
  const DType dtype = DrawFloat(rng);
  const Value x = b.Input("x", {dtype, {Dim::Symbol("rows"), 3}});
  const double scale = rng() % 2 == 0 ? 1 : 200;
  const Value large = b.Mul(b.Unary(OpKind::kAbs, x), b.Scalar(dtype, scale));
  switch (rng() % 5) {
    case 0:
      b.Output("y", b.Emit(OpKind::kSoftmax, {large}, {{"axis", int64_t{0}}}));
      break;
    case 1: {
      const OpKind op = rng() % 2 == 0 ? OpKind::kReduceMax : OpKind::kReduceMin;
      b.Output("y", b.Reduce(op, large, {0}, false));
      break;
    }
    default:
      b.Output("y", b.Reduce(OpKind::kReduceMean, large,
                             rng() % 2 == 0 ? std::vector<int64_t>{0} : std::vector<int64_t>{0, 1},
                             rng() % 2 == 0));
  }
  EXPECT_TRUE(b.status().ok()) << b.status().ToString();
  return graph;
}

TEST(PaddingOnCpu, CountsAndSumsBeyondTheTypesRange) {
  compared = 0;
  CheckGraphs(40, LongColumns, [](const Graph& graph, Rng& rng) {
    CompileOptions options;
    DrawPrecision(rng, options);
    return SameInABucket(graph, options, rng);
  });
  EXPECT_EQ(compared, GraphsOf(40));
}

// Attention whose bias hides keys as models write it: by infinity, by the type's lowest number, by
// what is low enough; rows of which it hides every key among them.
Graph HiddenKeys(uint64_t seed) {
  Rng rng(seed);
  Graph graph;
  GraphBuilder b(graph);
  const Dim p = Dim::Symbol("p"), s = Dim::Symbol("s");
  graph.symbols = {{"p", {1, 9}}, {"s", {1, 5}}};
  constexpr DType kFloats[] = {DType::kF16, DType::kBF16, DType::kF32};
  const DType dtype = kFloats[rng() % 3];
  const double lowest = dtype == DType::kF16    ? -65504
                        : dtype == DType::kBF16 ? -3.3895313892515355e38
                                                : std::numeric_limits<float>::lowest();
  const double low[] = {lowest, -std::numeric_limits<double>::infinity(), -1e4};
  const Value q = b.Input("q", {dtype, {1, s, 8}}), k = b.Input("k", {dtype, {1, p, 8}});
  const Value keep = b.Input("keep", {DType::kBool, {1, 1, s, p}});
  const Value bias = b.Where(keep, b.Input("bias", {dtype, {1, 1, s, p}}),
                             b.Scalar(dtype, low[rng() % std::size(low)]));
  b.Output(
      "y",
      b.Emit(OpKind::kAttention, {q, k, k, bias},
             {{"num_heads", int64_t{2}}, {"head_dim", int64_t{4}}, {"mask", std::string("bias")}}));
  EXPECT_TRUE(b.status().ok()) << b.status().ToString();
  return graph;
}

TEST(PaddingOnCpu, KeysInPaddingNeverCount) {
  compared = 0;
  CheckGraphs(40, HiddenKeys,
              [](const Graph& graph, Rng& rng) { return SameInABucket(graph, {}, rng); });
  EXPECT_EQ(compared, GraphsOf(40));
}

}  // namespace
}  // namespace rlx::test
