// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel/interpret.h"

#include <gmock/gmock.h>

#include <cmath>

#include "runtime/base/status.h"
#include "runtime/kernel/builder.h"
#include "runtime/kernel/text.h"
#include "tests/support/standard_kernels.h"

namespace rlx::kernel {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <class T>
BufferView View(std::vector<T>& v) {
  return {v.data(), static_cast<int64_t>(v.size())};
}

// Runs `body`, which stores into the i32 buffer %0 of eight elements, in one group of eight lanes.
absl::Status RunBody(std::string_view body, std::vector<int32_t>& out) {
  const auto kernel =
      Parse(Cat("kernel k local 8\nbuffers i32 mut\n%0 = buffer i32 0\n%1 = local_id i32\n", body));
  if (!kernel.ok()) return kernel.status();
  out.assign(8, 0);
  const BufferView view = View(out);
  return Interpret(*kernel, {&view, 1}, {}, 0, 1);
}

TEST(Interpret, AddsWithATail) {
  std::vector<float> x(13), y(13), out(13, -1.0F);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i), y[i] = 0.5F;
  const BufferView views[] = {View(x), View(y), View(out)};
  ASSERT_TRUE(Interpret(test::AddKernel(8, 13), views, {}, 0, 2).ok());
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(out[i], x[i] + 0.5F);
}

TEST(Interpret, RunsOnlyTheGroupsAskedFor) {
  std::vector<float> x(16, 1.0F), y(16, 2.0F), out(16, 0.0F);
  const BufferView views[] = {View(x), View(y), View(out)};
  ASSERT_TRUE(Interpret(test::AddKernel(4, 16), views, {}, 1, 3).ok());
  EXPECT_THAT(out, ElementsAre(0, 0, 0, 0, 3, 3, 3, 3, 3, 3, 3, 3, 0, 0, 0, 0));
}

TEST(Interpret, SoftmaxRowsSumToOne) {
  constexpr size_t kColumns = 11;
  std::vector<float> x(2 * kColumns), out(2 * kColumns);
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i));
  const BufferView views[] = {View(x), View(out)};
  ASSERT_TRUE(Interpret(test::SoftmaxKernel(4, kColumns), views, {}, 0, 2).ok());
  for (size_t row = 0; row < 2; ++row) {
    double sum = 0, whole = 0;
    for (size_t c = 0; c < kColumns; ++c)
      whole += std::exp(static_cast<double>(x[row * kColumns + c]));
    for (size_t c = 0; c < kColumns; ++c) {
      const auto p = static_cast<double>(out[row * kColumns + c]);
      EXPECT_NEAR(p, std::exp(static_cast<double>(x[row * kColumns + c])) / whole, 1e-6);
      sum += p;
    }
    EXPECT_NEAR(sum, 1, 1e-6);
  }
}

TEST(Interpret, ArgMaxTakesTheFirst) {
  std::vector<float> x = {1, 7, 7, 2, 0, -1, 5, 5, 5, 4};
  std::vector<int64_t> out(2);
  const BufferView views[] = {View(x), View(out)};
  ASSERT_TRUE(Interpret(test::ArgMaxKernel(4, 5), views, {}, 0, 2).ok());
  EXPECT_THAT(out, ElementsAre(1, 1));
}

TEST(Interpret, ReversesThroughSharedMemory) {
  std::vector<float> x = {1, 2, 3, 4, 5, 6, 7, 8}, out(8);
  const BufferView views[] = {View(x), View(out)};
  ASSERT_TRUE(Interpret(test::ReverseKernel(4), views, {}, 0, 2).ok());
  EXPECT_THAT(out, ElementsAre(4, 3, 2, 1, 8, 7, 6, 5));
}

TEST(Interpret, ReadsScalarsByType) {
  Builder b("scalars", 1);
  const Value out = b.Output(Type::kF64);
  const Value i = b.Scalar(Type::kI64), f = b.Scalar(Type::kF32), d = b.Scalar(Type::kF64);
  const Value sum = b.Add(b.Cast(Type::kF64, i), b.Add(b.Cast(Type::kF64, f), d));
  b.Store(out, b.I64(0), sum);
  const auto kernel = std::move(b).Finish();
  ASSERT_TRUE(kernel.ok());
  std::vector<double> result(1);
  const BufferView view = View(result);
  const int64_t scalars[] = {-3, std::bit_cast<int32_t>(0.25F), std::bit_cast<int64_t>(1000.5)};
  ASSERT_TRUE(Interpret(*kernel, {&view, 1}, scalars, 0, 1).ok());
  EXPECT_EQ(result[0], 997.75);
}

TEST(Interpret, IfsNestAndCellsKeepWhatOtherLanesSet) {
  std::vector<int32_t> out;
  ASSERT_TRUE(RunBody(R"(
%2 = const i32 4
%3 = const i32 1
%4 = cell i32 %3
%5 = lt bool %1 %2
if %5
  %7 = lt bool %3 %1
  if %7
    set %4 %1
  end
end
%12 = get i32 %4
store %0 %1 %12)",
                      out)
                  .ok());
  EXPECT_THAT(out, ElementsAre(1, 1, 2, 3, 1, 1, 1, 1));
}

TEST(Interpret, DivisionIsTotal) {
  std::vector<int32_t> out;
  ASSERT_TRUE(RunBody(R"(
%2 = load i32 %0 %1
%3 = const i32 -2147483648
%4 = add i32 %2 %3
%5 = const i32 2
%6 = load i32 %0 %1
%7 = div i32 %4 %6
store %0 %1 %7)",
                      out)
                  .ok());
  EXPECT_THAT(out, ::testing::Each(0));
}

TEST(Interpret, RefusesAccessOutsideABuffer) {
  std::vector<int32_t> out;
  const absl::Status load =
      RunBody("%2 = const i32 4\n%3 = add i32 %1 %2\n%4 = load i32 %0 %3", out);
  EXPECT_EQ(Message(load), "group 0: k: %4 load: lane 4: index 8 outside the 8 elements of %0");
  const absl::Status store = RunBody("%2 = const i32 1\n%3 = sub i32 %1 %2\nstore %0 %3 %2", out);
  EXPECT_EQ(Message(store), "group 0: k: %4 store: lane 0: index -1 outside the 8 elements of %0");
}

TEST(Interpret, RefusesUnwrittenSharedMemory) {
  std::vector<int32_t> out;
  const absl::Status status = RunBody("%2 = shared i32 8\n%3 = load i32 %2 %1", out);
  EXPECT_THAT(std::string(Message(status)), HasSubstr("reads unwritten %2"));
}

TEST(Interpret, RefusesLanesThatDisagree) {
  std::vector<int32_t> out;
  const absl::Status status = RunBody("%2 = const i32 0\nstore %0 %2 %1", out);
  EXPECT_THAT(std::string(Message(status)), HasSubstr("lanes disagree on element 0"));
}

TEST(Interpret, IndexArithmeticMustNotOverflowButDataWraps) {
  std::vector<int32_t> out;
  const absl::Status index = RunBody("%2 = const i32 2147483647\n%3 = add i32 %1 %2", out);
  EXPECT_THAT(std::string(Message(index)), HasSubstr("%3 add: lane 1: index arithmetic overflows"));
  ASSERT_TRUE(RunBody(R"(
%2 = load i32 %0 %1
%3 = const i32 2147483647
%4 = add i32 %2 %3
%5 = add i32 %4 %3
store %0 %1 %5)",
                      out)
                  .ok());
  EXPECT_THAT(out, ::testing::Each(-2));
}

TEST(Interpret, ChecksItsArguments) {
  const absl::Status status = Interpret(test::AddKernel(8, 8), {}, {}, 0, 1);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Message(status), "add: takes 3 buffers and 0 scalars, not 0 and 0");
}

}  // namespace
}  // namespace rlx::kernel
