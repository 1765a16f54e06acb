// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel/scalar.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

namespace rlx::kernel {
namespace {

using enum Type;

constexpr double kInf = std::numeric_limits<double>::infinity();
const double kNan = std::nan("");

Bits CastDouble(Type to, double v) {
  return Evaluate(Op::kCast, to, kF64, {EncodeFloat(kF64, v), 0, 0});
}
Bits CastInt(Type to, Type from, int64_t v) {
  return Evaluate(Op::kCast, to, from, {EncodeInt(from, v), 0, 0});
}

TEST(Scalar, FloatsSaturateToIntegers) {
  EXPECT_EQ(CastDouble(kI32, 2.9), 2);
  EXPECT_EQ(CastDouble(kI32, -2.9), -2);
  EXPECT_EQ(CastDouble(kI32, 1e20), 2147483647);
  EXPECT_EQ(CastDouble(kI32, -kInf), -2147483648LL);
  EXPECT_EQ(CastDouble(kI64, 1e30), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(CastDouble(kI64, -1e30), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(CastDouble(kU32, -1), 0);
  EXPECT_EQ(CastDouble(kU32, 1e20), 4294967295LL);
  EXPECT_EQ(CastDouble(kU8, 256), 255);
  EXPECT_EQ(CastDouble(kI8, -1000), -128);
  EXPECT_EQ(CastDouble(kI32, kNan), 0);
  EXPECT_EQ(CastDouble(kBool, kNan), 1);
  EXPECT_EQ(CastDouble(kBool, -0.0), 0);
}

TEST(Scalar, IntegersWrap) {
  EXPECT_EQ(CastInt(kI8, kI32, 200), -56);
  EXPECT_EQ(CastInt(kU8, kI32, -1), 255);
  EXPECT_EQ(CastInt(kU32, kI64, -1), 4294967295LL);
  EXPECT_EQ(CastInt(kI64, kU32, -1), 4294967295LL);
  EXPECT_EQ(CastInt(kBool, kI64, 256), 1);
  EXPECT_EQ(Evaluate(Op::kAdd, kI32, kI32, {2147483647, 1, 0}), -2147483648LL);
  EXPECT_EQ(Evaluate(Op::kMul, kU32, kU32, {0xffffffffLL, 0xffffffffLL, 0}), 1);
}

TEST(Scalar, NarrowFloatsRoundOnceToEven) {
  EXPECT_EQ(CastDouble(kF16, 1.0), 0x3c00);
  EXPECT_EQ(CastDouble(kF16, 65520), 0x7c00);        // rounds to infinity
  EXPECT_EQ(CastDouble(kBF16, 1.00390625), 0x3f80);  // half way, to even
  EXPECT_EQ(CastDouble(kBF16, 1.00390625 + 0x1p-40), 0x3f81);
  EXPECT_EQ(CastDouble(kF16, 1 + 0x1p-11 + 0x1p-40), 0x3c01);
  EXPECT_EQ(CastDouble(kFp8E4M3, 1.0625), 0x38);
  EXPECT_EQ(CastDouble(kFp8E4M3, 1.0625 + 0x1p-40), 0x39);
  EXPECT_EQ(CastDouble(kFp8E4M3, -1e9), 0xfe);
  EXPECT_EQ(CastDouble(kFp8E5M2, kInf), 0x7c);
  EXPECT_EQ(ToDouble(kFp8E5M2, 0x7b), 57344);
  EXPECT_EQ(ToDouble(kF16, 0x0001), std::ldexp(1.0, -24));
  EXPECT_EQ(ToDouble(kBF16, 0xff80), -kInf);
}

TEST(Scalar, IntegerDivisionIsTotal) {
  EXPECT_EQ(Evaluate(Op::kDiv, kI32, kI32, {-7, 2, 0}), -3);
  EXPECT_EQ(Evaluate(Op::kRem, kI32, kI32, {-7, 2, 0}), -1);
  EXPECT_EQ(Evaluate(Op::kDiv, kI32, kI32, {5, 0, 0}), 0);
  EXPECT_EQ(Evaluate(Op::kRem, kI32, kI32, {5, 0, 0}), 0);
  const int64_t lowest = std::numeric_limits<int64_t>::min();
  EXPECT_EQ(Evaluate(Op::kDiv, kI64, kI64, {lowest, -1, 0}), lowest);
  EXPECT_EQ(Evaluate(Op::kRem, kI64, kI64, {lowest, -1, 0}), 0);
  EXPECT_EQ(Evaluate(Op::kDiv, kI32, kI32, {-2147483648LL, -1, 0}), -2147483648LL);
}

TEST(Scalar, ExtremaKeepNans) {
  const Bits nan = EncodeFloat(kF32, kNan), one = EncodeFloat(kF32, 1);
  EXPECT_TRUE(std::isnan(ToDouble(kF32, Evaluate(Op::kMax, kF32, kF32, {nan, one, 0}))));
  EXPECT_TRUE(std::isnan(ToDouble(kF32, Evaluate(Op::kMin, kF32, kF32, {one, nan, 0}))));
  EXPECT_EQ(Evaluate(Op::kMax, kU32, kU32, {0xffffffffLL, 1, 0}), 0xffffffffLL);
  EXPECT_EQ(Evaluate(Op::kMax, kI32, kI32, {-1, 1, 0}), 1);
}

TEST(Scalar, ComparisonsAreOrderedButForNe) {
  const Bits nan = EncodeFloat(kF64, kNan);
  for (Op op : {Op::kEq, Op::kLt, Op::kLe}) EXPECT_EQ(Evaluate(op, kBool, kF64, {nan, nan, 0}), 0);
  EXPECT_EQ(Evaluate(Op::kNe, kBool, kF64, {nan, nan, 0}), 1);
}

TEST(Scalar, ShiftsTakeTheAmountModuloTheWidth) {
  EXPECT_EQ(Evaluate(Op::kShl, kI32, kI32, {1, 33, 0}), 2);
  EXPECT_EQ(Evaluate(Op::kShr, kI32, kI32, {-8, 1, 0}), -4);
  EXPECT_EQ(Evaluate(Op::kShr, kU32, kU32, {EncodeInt(kU32, -8), 1, 0}), 0x7ffffffcLL);
  EXPECT_EQ(Evaluate(Op::kShl, kU32, kU32, {0x80000001LL, 1, 0}), 2);
}

TEST(Scalar, RoundsHalfToEven) {
  const auto round = [](double v) {
    return ToDouble(kF64, Evaluate(Op::kRound, kF64, kF64, {EncodeFloat(kF64, v), 0, 0}));
  };
  EXPECT_EQ(round(2.5), 2);
  EXPECT_EQ(round(3.5), 4);
  EXPECT_TRUE(std::signbit(round(-0.3)));
}

TEST(Scalar, KnowsOverflow) {
  EXPECT_TRUE(Overflows(Op::kAdd, kI32, 2147483647, 1));
  EXPECT_FALSE(Overflows(Op::kAdd, kI64, 2147483647, 1));
  EXPECT_TRUE(Overflows(Op::kMul, kI64, int64_t{1} << 40, int64_t{1} << 40));
  EXPECT_TRUE(Overflows(Op::kNeg, kI64, std::numeric_limits<int64_t>::min(), 0));
}

}  // namespace
}  // namespace rlx::kernel
