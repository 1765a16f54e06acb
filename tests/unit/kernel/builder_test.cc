// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel/builder.h"

#include <gmock/gmock.h>

#include "runtime/base/status.h"
#include "runtime/kernel/interpret.h"
#include "runtime/kernel/text.h"
#include "runtime/kernel/uniform.h"

namespace rlx::kernel {
namespace {

TEST(Builder, FoldsConstantsAndIntegerIdentities) {
  Builder b("k", 8);
  const Value two = b.I64(2), lane = b.LocalId(Type::kI64);
  EXPECT_EQ(b.Add(two, b.I64(3)), b.I64(5));
  EXPECT_EQ(b.Add(lane, b.I64(0)), lane);
  EXPECT_EQ(b.Mul(b.I64(1), lane), lane);
  EXPECT_EQ(b.Mul(lane, b.I64(0)), b.I64(0));
  EXPECT_EQ(b.Div(lane, b.I64(1)), lane);
  EXPECT_EQ(b.Rem(lane, b.I64(1)), b.I64(0));
  EXPECT_EQ(b.Select(b.Bool(false), lane, two), two);
  EXPECT_EQ(b.Cast(Type::kI64, lane), lane);
  EXPECT_EQ(b.Unary(Op::kSqrt, b.F32(9)), b.F32(3));
}

TEST(Builder, KeepsFloatIdentities) {
  Builder b("k", 8);
  const Value x = b.Load(b.Input(Type::kF32), b.I64(0));
  EXPECT_NE(b.Add(x, b.F32(0)), x);  // -0 + 0 is 0
}

TEST(Builder, SharesConstantsOfTheTopLevelAlone) {
  Builder b("k", 8);
  Value inside;
  b.For(b.I64(4), [&](Value) { inside = b.F32(7); });
  EXPECT_NE(b.F32(7), inside);
  EXPECT_EQ(b.F32(7), b.F32(7));
  EXPECT_TRUE(std::move(b).Finish().ok());
}

TEST(Builder, FinishSaysWhatIsWrong) {
  Builder b("k", 8);
  b.Add(b.LocalId(Type::kI32), b.LocalId(Type::kI64));
  const auto kernel = std::move(b).Finish();
  EXPECT_EQ(Message(kernel.status()), "k: %2 add: operand 2 is i64, not i32");
}

TEST(Builder, IdentitiesAreNeutral) {
  Builder b("k", 1);
  for (Op op : {Op::kReduceAdd, Op::kReduceMul, Op::kReduceMax, Op::kReduceMin}) {
    for (Type t : {Type::kI32, Type::kU32, Type::kI64, Type::kF32, Type::kF64}) {
      const Value v = b.Int(t, 42);
      EXPECT_EQ(b.Combine(op, b.Identity(op, t), v), v) << Name(t);
    }
  }
}

// ForLanes writes full strides as a loop and the rest under an if, for known and unknown extents
// alike.
class ForLanesTest : public ::testing::TestWithParam<int64_t> {};

TEST_P(ForLanesTest, VisitsEveryIndexOnce) {
  for (bool known : {false, true}) {
    Builder b("visit", 8);
    const Value out = b.Output(Type::kI32);
    const Value n = b.Scalar(Type::kI64);
    b.ForLanes(known ? b.I64(GetParam()) : n,
               [&](Value i) { b.Store(out, i, b.Add(b.Load(out, i), b.I32(1))); });
    const auto kernel = std::move(b).Finish();
    ASSERT_TRUE(kernel.ok()) << kernel.status();
    std::vector<int32_t> visits(static_cast<size_t>(GetParam()));
    const BufferView view{visits.data(), GetParam()};
    const int64_t scalar = GetParam();
    ASSERT_TRUE(Interpret(*kernel, {&view, 1}, {&scalar, 1}, 0, 1).ok());
    EXPECT_THAT(visits, ::testing::Each(1));
  }
}

INSTANTIATE_TEST_SUITE_P(Extents, ForLanesTest, ::testing::Values(0, 1, 7, 8, 9, 16, 31));

TEST(Uniform, KnowsWhatLanesShare) {
  const auto kernel = Parse(R"(kernel k local 4
buffers f32
scalars i64
%0 = buffer f32 0
%1 = scalar i64 0
%2 = local_id i64
%3 = group_id i64
%4 = add i64 %1 %3
%5 = add i64 %4 %2
%6 = load f32 %0 %4
%7 = load f32 %0 %5
%8 = reduce_add f32 %7
%9 = cell f32 %6
%10 = lt bool %2 %1
if %10
  set %9 %6
end
)");
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  const Uniformity found = FindUniform(*kernel);
  const std::vector<bool> want = {true, true,  false, true,  true, false,
                                  true, false, true,  false, false};
  for (size_t i = 0; i < want.size(); ++i) EXPECT_EQ(found.value[i], want[i]) << i;
  EXPECT_TRUE(found.reached[11]);
  EXPECT_FALSE(found.reached[12]);
  const std::vector<bool> index = FindIndices(*kernel);
  EXPECT_TRUE(index[5]);
  EXPECT_FALSE(index[7]);
}

}  // namespace
}  // namespace rlx::kernel
