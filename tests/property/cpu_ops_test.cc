// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "backends/cpu/cpu_backend.h"
#include "runtime/base/status.h"
#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/text.h"
#include "runtime/lower/lower.h"
#include "tests/support/graphs.h"
#include "tests/support/run_on_backend.h"

namespace rlx::test {
namespace {

const device::Backend& Cpu() {
  static const auto backend = cpu::MakeCpuBackend();
  return *backend;
}

// A graph straight to a program, without passes: what the back end itself lowers.
absl::StatusOr<std::vector<HostTensor>> RunPlain(const BackendRunner& runner, Graph graph,
                                                 const TensorMap& inputs) {
  LirModule lir{.graph = std::move(graph)};
  RLX_ASSIGN(lir.plan, lower::PlanBuffers(lir.graph, {}, &runner.backend()));
  RLX_ASSIGN(const auto program, lower::BuildProgram(lir, runner.backend(), runner.target()));
  return RunProgram(runner.device(), program, inputs);
}

double Tolerance(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return 4e-3;
    case DType::kBF16:
      return 3e-2;
    default:
      return 2e-4;
  }
}

void ExpectNear(const HostTensor& got, const EvalTensor& want, const std::string& what) {
  ASSERT_EQ(got.dims(), want.dims) << what;
  ASSERT_EQ(got.dtype(), want.dtype) << what;
  if (IsExact(want.dtype)) {
    ASSERT_EQ(got.ToInts(), want.i) << what;
    return;
  }
  const std::vector<double> values = got.ToDoubles();  // of c64 real and imaginary parts
  ASSERT_EQ(values.size(), want.f.size()) << what;
  for (size_t i = 0; i < values.size(); ++i) {
    const double expected = want.f[i], actual = values[i];
    if (std::isnan(expected) && std::isnan(actual)) continue;
    ASSERT_LE(std::abs(actual - expected),
              Tolerance(want.dtype) * std::max(1.0, std::abs(expected)))
        << what << " at " << i << ": " << actual << ", not " << expected;
  }
}

class CpuOp : public ::testing::TestWithParam<OpKind> {};

TEST_P(CpuOp, AgreesWithTheOracleOnRandomSamples) {
  const OpInfo& info = Info(GetParam());
  int claimed = 0;
  for (std::string_view profile : {"cpu", "cpu:x86-64-v3", "cpu:x86-64"}) {
    auto runner = BackendRunner::Create(Cpu(), 2, profile);
    if (!runner.ok()) continue;  // this machine cannot run the profile
    for (uint64_t seed = 0; seed < 12; ++seed) {
      Rng rng(seed * 7919 + static_cast<uint64_t>(GetParam()));
      const OpSample sample = info.sample(rng);
      const Graph graph = test::SampleGraph(info, sample);
      const TensorMap inputs = test::SampleInputs(sample, rng);
      const device::Claim claim = Cpu().Claims(graph, graph.size() - 1, runner->target());
      if (!claim.native) {  // what is elementwise has nothing to be taken apart to
        EXPECT_TRUE(!IsElementwise(info.kind) || info.decompose != nullptr) << claim.how;
        continue;
      }
      ++claimed;
      const std::string what = Cat(info.name, " seed ", seed, " on ", profile, "\n", Print(graph));
      const auto want = Evaluate(graph, inputs);
      ASSERT_TRUE(want.ok()) << what << Cat(want.status());
      const auto got = RunPlain(*runner, graph, inputs);
      ASSERT_TRUE(got.ok()) << what << ": " << Cat(got.status());
      for (size_t r = 0; r < want->size(); ++r) ExpectNear((*got)[r], (*want)[r], what);
    }
  }
  if (claimed == 0) GTEST_SKIP() << info.name << " is decomposed before it reaches the back end";
}

// a^b of integers wraps, and 1/a^|b| truncates.
TEST(CpuOps, PowersOfIntegers) {
  const std::vector<int64_t> a = {0, 0, 0, 1, 1, -1, -1, -1, 2, 2, -2, 3, 3, -3, 10, 7};
  const std::vector<int64_t> b = {0, 3, -1, 90, -5, 7, -4, -3, 62, -1, 63, 40, -2, 39, 18, 0};
  const std::vector<int64_t> power = {1,
                                      0,
                                      0,
                                      1,
                                      1,
                                      -1,
                                      1,
                                      -1,
                                      int64_t{1} << 62,
                                      0,
                                      std::numeric_limits<int64_t>::min(),
                                      -6289078614652622815,
                                      0,
                                      -4052555153018976267,
                                      1000000000000000000,
                                      1};
  auto runner = BackendRunner::Create(Cpu(), 1);
  ASSERT_TRUE(runner.ok()) << Cat(runner.status());
  for (const DType dtype : {DType::kI8, DType::kI16, DType::kI32, DType::kI64}) {
    SCOPED_TRACE(Name(dtype));
    const Graph graph = ParseGraph(Cat("mir \"pow\" { %0 = input \"a\" : ", Name(dtype),
                                       "[16] %1 = input \"b\" : ", Name(dtype),
                                       "[16] %2 = pow(%0, %1) output \"y\" = %2 }"));
    const auto got = RunPlain(
        *runner, graph,
        {{"a", HostTensor::FromInts(dtype, {16}, a)}, {"b", HostTensor::FromInts(dtype, {16}, b)}});
    ASSERT_TRUE(got.ok()) << Cat(got.status());
    std::vector<int64_t> want = power;
    for (int64_t& value : want) value = WrapToInt(dtype, value);
    EXPECT_EQ(got->at(0).ToInts(), want);
  }
}

// 2⁶⁰ + 2³⁶ + 1 is past the middle between two floats, on which it falls as a double.
TEST(CpuOps, IntegersBecomeComplexInOneRounding) {
  auto runner = BackendRunner::Create(Cpu(), 1);
  ASSERT_TRUE(runner.ok()) << Cat(runner.status());
  const Graph graph = ParseGraph(
      "mir \"cast\" { %0 = input \"a\" : i64[2] %1 = cast(%0) {to = c64} output \"y\" = %1 }");
  const std::vector<int64_t> values = {(int64_t{1} << 60) + (int64_t{1} << 36) + 1, -3};
  const TensorMap inputs = {{"a", HostTensor::FromInts(DType::kI64, {2}, values)}};
  const auto got = RunPlain(*runner, graph, inputs);
  ASSERT_TRUE(got.ok()) << Cat(got.status());
  const std::vector<double> want = {0x1p60 + 0x1p37, 0, -3, 0};
  EXPECT_EQ(got->at(0).ToDoubles(), want);
  EXPECT_EQ(Evaluate(graph, inputs)->at(0).f, want);
}

std::vector<OpKind> SampledOps() {
  std::vector<OpKind> out;
  for (const OpInfo* info : AllOps()) {
    if (info->level == Stage::kMir && info->sample != nullptr) out.push_back(info->kind);
  }
  return out;
}

// Rows of `x` and columns of `w` that hold 8-bit codes less a zero point, and some that hold more.
TEST(CpuOps, ProductsOfCodesAgainstWeights) {
  for (std::string_view profile : {"cpu", "cpu:x86-64-v3", "cpu:x86-64"}) {
    auto runner = BackendRunner::Create(Cpu(), 2, profile);
    if (!runner.ok()) continue;  // this machine cannot run the profile
    for (uint64_t seed = 0; seed < 40; ++seed) {
      std::mt19937_64 rng(seed);
      const auto draw = [&](int64_t low, int64_t high) {
        return std::uniform_int_distribution<int64_t>(low, high)(rng);
      };
      const int64_t m = draw(1, 40), k = draw(1, 70), n = draw(1, 120);
      const DType codes[] = {DType::kU8, DType::kI8, DType::kI32};
      const DType xs = codes[draw(0, 2)], ws = codes[draw(0, 2)];
      const std::string what = Cat("seed ", seed, " on ", profile);
      SCOPED_TRACE(what);
      const Graph graph = ParseGraph(Cat(
          "mir \"codes\" { %0 = input \"x\" : ", Name(xs), "[2,", m, ",", k,
          "] %1 = input \"zero\" : i32[] %2 = param \"w\" : ", Name(ws), "[", k, ",", n,
          "] %3 = param \"zeros\" : i32[", n, "] %4 = cast(%0) {to = i32} %5 = sub(%4, %1)",
          " %6 = cast(%2) {to = i32} %7 = sub(%6, %3) %8 = matmul(%5, %7) output \"y\" = %8 }"));
      const auto fill = [&](DType dtype, std::vector<int64_t> dims, int64_t low, int64_t high) {
        int64_t count = 1;
        for (int64_t dim : dims) count *= dim;
        std::vector<int64_t> values(static_cast<size_t>(count));
        for (int64_t& value : values) value = draw(low, high);
        return HostTensor::FromInts(dtype, std::move(dims), values);
      };
      const auto operand = [&](DType dtype, std::vector<int64_t> dims) {
        if (dtype == DType::kU8) return fill(dtype, std::move(dims), 0, 255);
        if (dtype == DType::kI8) return fill(dtype, std::move(dims), -128, 127);
        const int64_t most = draw(0, 1) == 0 ? 127 : int64_t{1} << 30;
        return fill(dtype, std::move(dims), -most, most);
      };
      const TensorMap inputs = {{"x", operand(xs, {2, m, k})},
                                {"zero", fill(DType::kI32, {}, -255, 255)},
                                {"w", operand(ws, {k, n})},
                                {"zeros", fill(DType::kI32, {n}, -255, 255)}};
      const auto want = Evaluate(graph, inputs);
      ASSERT_TRUE(want.ok()) << Cat(want.status());
      const auto got = RunPlain(*runner, graph, inputs);
      ASSERT_TRUE(got.ok()) << Cat(got.status());
      ASSERT_NO_FATAL_FAILURE(ExpectNear(got->at(0), want->at(0), what));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Rows, CpuOp, ::testing::ValuesIn(SampledOps()),
                         [](const auto& info) { return std::string(Name(info.param)); });

}  // namespace
}  // namespace rlx::test
