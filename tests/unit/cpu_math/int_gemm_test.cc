// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/int_gemm.h"

#include <gtest/gtest.h>

#include "backends/cpu/math/int_task.h"
#include "runtime/base/thread_pool.h"
#include "tests/unit/cpu_math/math_testing.h"

namespace rlx::cpu {
namespace {

using Ints = std::vector<int32_t>;

constexpr int32_t kUntouchedInt = -1234567;

struct Range {
  int32_t low, high;
};
constexpr Range kBytes{-128, 127}, kUnsigned{0, 255}, kAny{INT32_MIN, INT32_MAX};

// Shape and what A and B hold.
struct Case {
  int64_t m, n, k;
  Range a = kUnsigned, b = kBytes;
};

class Problem {
 public:
  Problem(const Case& c, std::mt19937& rng) : g_{.m = c.m, .n = c.n, .k = c.k} {
    g_.lda = c.k + static_cast<int64_t>(rng() % 3);
    g_.ldc = c.n + static_cast<int64_t>(rng() % 3);
    a_ = Draw(c.m * g_.lda, c.a, rng);
    b_ = Draw(c.k * c.n, c.b, rng);
  }

  void ExpectExact(const MathKernels& kernels, Team& team, bool transposed) {
    Ints b = b_;
    if (transposed) {
      for (int64_t at = 0; at < g_.k * g_.n; ++at) b[at % g_.n * g_.k + at / g_.n] = b_[at];
    }
    Aligned packed(static_cast<size_t>(PackedIntSize(kernels, g_.k, g_.n)));
    PackIntB(kernels, g_.k, g_.n, b.data(), transposed ? g_.k : g_.n, transposed, packed.get(),
             team);
    Ints c(static_cast<size_t>(g_.m * g_.ldc), kUntouchedInt);
    IntGemm gemm = g_;
    gemm.a = a_.data(), gemm.b = packed.get(), gemm.c = c.data();
    Aligned scratch(IntGemmScratchBytes(gemm));
    Gemm(kernels, gemm, team, scratch.get());
    for (int64_t at = 0; at < static_cast<int64_t>(c.size()); ++at) {
      const int64_t i = at / g_.ldc, j = at % g_.ldc;
      ASSERT_EQ(c[at], j < g_.n ? Sum(i, j) : kUntouchedInt) << "row " << i << ", column " << j;
    }
  }

 private:
  static Ints Draw(int64_t count, Range range, std::mt19937& rng) {
    std::uniform_int_distribution<int32_t> value(range.low, range.high);
    Ints out(static_cast<size_t>(count));
    for (int32_t& x : out) x = value(rng);
    return out;
  }

  int32_t Sum(int64_t i, int64_t j) const {
    uint32_t sum = 0;
    for (int64_t k = 0; k < g_.k; ++k) {
      sum += static_cast<uint32_t>(a_[i * g_.lda + k]) * static_cast<uint32_t>(b_[k * g_.n + j]);
    }
    return static_cast<int32_t>(sum);
  }

  IntGemm g_;
  Ints a_, b_;
};

constexpr Case kCases[] = {
    {1, 1, 1},
    {3, 5, 2},
    {1, 48, 64},
    {8, 96, 67},                                // k that fills no quad
    {13, 50, 33, {-200, 55}},                   // codes less a zero point
    {9, 49, 130, {-255, 0}, {-255, 0}},         // and weights less one
    {130, 100, 40, {0, 255}, {100, 355}},       // two blocks of rows
    {5, 17, 300, {255, 255}, {127, 127}},       // where pairs of bytes would saturate
    {5, 17, 300, {255, 255}, {-128, -128}},     //
    {6, 20, 31, kAny},                          // rows that hold no codes
    {6, 70, 31, kUnsigned, kAny},               // nor columns
    {7, 20, 9, kAny, kAny},                     //
    {4, 33, 20, {INT32_MIN, INT32_MIN + 255}},  // codes far from zero
    {4, 33, 20, {INT32_MAX - 255, INT32_MAX}, {INT32_MIN, INT32_MIN + 255}},
    {4, 33, 20, kBytes, {INT32_MAX - 255, INT32_MAX}},
};

void ExpectAllExact(const MathKernels& kernels) {
  std::mt19937 rng(3);
  ThreadPool pool(2);
  for (const Case& c : kCases) {
    SCOPED_TRACE(testing::Message() << "case " << &c - kCases);
    Problem problem(c, rng);
    Team alone, team = pool.Lease(3);
    ASSERT_NO_FATAL_FAILURE(problem.ExpectExact(kernels, alone, false));
    ASSERT_NO_FATAL_FAILURE(problem.ExpectExact(kernels, team, true));
  }
}

class IntGemmOnIsa : public testing::TestWithParam<Isa> {};

TEST_P(IntGemmOnIsa, IsExactWhateverTheValues) { ExpectAllExact(MathFor(GetParam())); }

INSTANTIATE_TEST_SUITE_P(Here, IntGemmOnIsa, testing::ValuesIn(IsasHere()),
                         [](const auto& info) { return std::string(IsaName(info.param)); });

// The variant that machines with VNNI do not choose.
TEST(IntGemm, IsExactOnAvx512WithoutVnni) {
  if (DetectIsa() < Isa::kAvx512) GTEST_SKIP() << "no AVX-512";
  MathKernels kernels = MathFor(Isa::kAvx512);
  kernels.int_panel = IntPanelAvx512;
  ExpectAllExact(kernels);
}

// Rows that hold codes and rows that do not, in one tile.
TEST_P(IntGemmOnIsa, RowsOfBothKinds) {
  const MathKernels& kernels = MathFor(GetParam());
  constexpr int64_t m = 11, n = 19, k = 21;
  std::mt19937 rng(7);
  Ints a(m * k), b(k * n), c(m * n);
  for (int32_t& x : a) x = static_cast<int32_t>(rng() % 256);
  for (int64_t i : {0, 3, 4, 10}) a[i * k + 5] = 1 << 20;
  for (int32_t& x : b) x = static_cast<int32_t>(rng() % 256) - 128;
  Team alone;
  Aligned packed(static_cast<size_t>(PackedIntSize(kernels, k, n)));
  PackIntB(kernels, k, n, b.data(), n, false, packed.get(), alone);
  const IntGemm gemm{m, n, k, a.data(), k, packed.get(), c.data(), n};
  Aligned scratch(IntGemmScratchBytes(gemm));
  Gemm(kernels, gemm, alone, scratch.get());
  for (int64_t at = 0; at < m * n; ++at) {
    int32_t sum = 0;
    for (int64_t i = 0; i < k; ++i) sum += a[at / n * k + i] * b[i * n + at % n];
    ASSERT_EQ(c[at], sum) << "at " << at;
  }
}

}  // namespace
}  // namespace rlx::cpu
