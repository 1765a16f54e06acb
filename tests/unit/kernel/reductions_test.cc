// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <cmath>
#include <random>

#include "runtime/base/status.h"
#include "runtime/kernel/builder.h"
#include "runtime/kernel/interpret.h"
#include "runtime/kernel/legalize/legalize.h"
#include "runtime/kernel/text.h"
#include "tests/support/standard_kernels.h"
#include "tests/unit/kernel/random_run.h"

namespace rlx::kernel {
namespace {

using ::testing::HasSubstr;
using namespace test;

constexpr Property kNone[] = {Property::kNoReductions};

Kernel Expanded(const Kernel& kernel) {
  auto expanded = ExpandReductions(kernel);
  EXPECT_TRUE(expanded.ok()) << expanded.status();
  if (!expanded.ok()) return kernel;
  EXPECT_TRUE(Require(*expanded, kNone).ok()) << Print(*expanded);
  return *std::move(expanded);
}

// Columns of a row by `local` lanes together, so that both levels of the tree are walked.
std::vector<float> Softmax(const Kernel& kernel, std::vector<float> x) {
  std::vector<float> out(x.size());
  const auto view = [](std::vector<float>& v) {
    return BufferView{v.data(), static_cast<int64_t>(v.size())};
  };
  const BufferView views[] = {view(x), view(out)};
  const absl::Status status = Interpret(kernel, views, {}, 0, 1);
  EXPECT_TRUE(status.ok()) << status;
  return out;
}

class Reductions : public ::testing::TestWithParam<int> {};

TEST_P(Reductions, KeepEveryBit) {
  const int local = GetParam();
  std::mt19937 random(7);
  std::normal_distribution<float> draw(0, 3);
  std::vector<float> x(301);
  for (float& v : x) v = draw(random);
  const Kernel kernel = SoftmaxKernel(local, 301);
  EXPECT_EQ(Softmax(Expanded(kernel), x), Softmax(kernel, x));
  x[40] = std::nanf("");  // a maximum of NaN is met from both sides of the tree
  for (float v : Softmax(Expanded(kernel), x)) EXPECT_TRUE(std::isnan(v));
}

// In loops and under ifs that follow from a reduction's result.
TEST_P(Reductions, OfRandomKernelsToo) {
  const int local = GetParam();
  if (local > 32) GTEST_SKIP() << "random kernels have " << kRandomElements << " elements";
  for (uint64_t seed = 0; seed < 30 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    const Kernel kernel = RandomKernel(seed, local);
    EXPECT_EQ(RunRandom(Expanded(kernel)), RunRandom(kernel));
  }
}

INSTANTIATE_TEST_SUITE_P(Widths, Reductions, ::testing::Values(1, 2, 16, 32, 64, 256));

TEST(Shuffles, ReachNoFurtherThanASubgroup) {
  const auto verdict = [](int local, int mask) {
    Builder b("k", local);
    const Value out = b.Output(Type::kI32), lane = b.LocalId(Type::kI32);
    b.Store(out, lane, b.ShuffleXor(lane, mask));
    return Cat(std::move(b).Finish().status());
  };
  EXPECT_THAT(verdict(64, 16), HasSubstr("OK"));
  EXPECT_THAT(verdict(64, 32), HasSubstr("cannot have the mask 32"));
  EXPECT_THAT(verdict(8, 8), HasSubstr("cannot have the mask 8"));
  EXPECT_THAT(verdict(64, 3), HasSubstr("cannot have the mask 3"));
}

TEST(Shuffles, ExchangeValues) {
  Builder b("k", 8);
  const Value out = b.Output(Type::kI32), lane = b.LocalId(Type::kI32);
  b.Store(out, lane, b.ShuffleXor(b.Mul(lane, b.I32(10)), 2));
  const auto kernel = std::move(b).Finish();
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  std::vector<int32_t> got(8);
  const BufferView view{got.data(), 8};
  ASSERT_TRUE(Interpret(*kernel, {&view, 1}, {}, 0, 1).ok());
  EXPECT_THAT(got, ::testing::ElementsAre(20, 30, 0, 10, 60, 70, 40, 50));
  EXPECT_EQ(*Parse(Print(*kernel)), *kernel);
}

}  // namespace
}  // namespace rlx::kernel
