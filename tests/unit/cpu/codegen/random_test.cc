// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel/text.h"
#include "tests/support/random_kernel.h"
#include "tests/unit/cpu/codegen/harness.h"

namespace rlx::cpu::test {
namespace {

using namespace kernel::test;
using enum kernel::Type;

class RandomKernels : public ::testing::TestWithParam<int> {};

// No tolerance: the kernels leave no freedom in rounding.
TEST_P(RandomKernels, AgreeExactly) {
  const int local = GetParam();
  const int64_t n = kRandomElements;
  for (uint64_t seed = 0; seed < 40 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    Elements flags;
    for (int64_t i = 0; i < n; ++i) flags.push_back(i % 5 < 2);
    ExpectAgrees(
        {RandomKernel(seed, local),
         {Spread(kF32, n, -10, 10), Spread(kI32, n, -100, 100), Spread(kI64, n, -1e12, 1e12), flags,
          Filled(kF32, n, 0), Filled(kI32, n, 0), Filled(kI64, n, 0), Filled(kBool, n, 0)},
         {17},
         n / local});
  }
}

TEST_P(RandomKernels, RoundTripAsText) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const kernel::Kernel kernel = RandomKernel(seed, GetParam());
    const auto parsed = kernel::Parse(Print(kernel));
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, kernel);
  }
}

INSTANTIATE_TEST_SUITE_P(Widths, RandomKernels, ::testing::Values(1, 4, 8, 16, 32));

}  // namespace
}  // namespace rlx::cpu::test
