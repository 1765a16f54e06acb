// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "runtime/base/status.h"
#include "runtime/kernel/builder.h"
#include "runtime/kernel/legalize/legalize.h"
#include "runtime/kernel/text.h"
#include "tests/support/standard_kernels.h"
#include "tests/unit/kernel/random_run.h"

namespace rlx::kernel {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using namespace test;

std::string Narrowed(const Kernel& kernel, int64_t groups, std::span<const int64_t> scalars = {}) {
  const auto narrow = NarrowIndices(kernel, groups, scalars);
  EXPECT_TRUE(narrow.ok()) << narrow.status();
  return narrow.ok() ? Print(*narrow) : "";
}

TEST(NarrowIndices, LeavesNothingWideOfASmallLaunch) {
  EXPECT_THAT(Narrowed(TransposeKernel(256, 48, 80), 15), Not(HasSubstr(" i64")));
  EXPECT_THAT(Narrowed(SoftmaxKernel(64, 1000), 4096), Not(HasSubstr(" i64")));
}

TEST(NarrowIndices, StopsWhereALaunchIsTooLarge) {
  // Rows of 1000: from 2147484 groups on the last element is past 2^31.
  EXPECT_THAT(Narrowed(SoftmaxKernel(64, 1000), 2147483), Not(HasSubstr(" i64")));
  EXPECT_THAT(Narrowed(SoftmaxKernel(64, 1000), 2147484), HasSubstr("add i64"));
}

TEST(NarrowIndices, LeavesDataAlone) {
  // What is read from a buffer may be any number.
  EXPECT_THAT(Narrowed(GatherKernel(64, 100, 64), 7), HasSubstr("load i64"));
  Builder b("k", 8);
  const Value out = b.Output(Type::kI64), at = b.GlobalId(Type::kI64);
  b.Store(out, at, b.Mul(at, b.I64(3)));  // an index as a value: wide again where it is stored
  const auto kernel = std::move(b).Finish();
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  const std::string text = Narrowed(*kernel, 4);
  EXPECT_THAT(text, HasSubstr("mul i32"));
  EXPECT_THAT(text, HasSubstr("cast i64"));
}

TEST(NarrowIndices, KeepsWhatKernelsDo) {
  for (int local : {1, 8, 32}) {
    for (uint64_t seed = 0; seed < 40 && !HasFailure(); ++seed) {
      SCOPED_TRACE(Cat(local, " ", seed));
      const Kernel kernel = RandomKernel(seed, local);
      const auto narrow = NarrowIndices(kernel, kRandomElements / local, {&kRandomScalar, 1});
      ASSERT_TRUE(narrow.ok()) << narrow.status();
      EXPECT_EQ(RunRandom(*narrow), RunRandom(kernel));
    }
  }
}

}  // namespace
}  // namespace rlx::kernel
