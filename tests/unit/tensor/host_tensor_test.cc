// SPDX-License-Identifier: Apache-2.0
#include "runtime/tensor/host_tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "runtime/base/status.h"

namespace rlx {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(DType, NamesRoundTrip) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(ParseDType(Name(dtype)), dtype);
  }
  EXPECT_FALSE(ParseDType("f31"));
}

TEST(HostTensor, CreateDemandsTheExactBytes) {
  EXPECT_TRUE(HostTensor::Create(DType::kF32, {2, 3}, SharedBytes(std::string(24, '\0'))).ok());
  EXPECT_THAT(
      Message(HostTensor::Create(DType::kF32, {2, 3}, SharedBytes(std::string(23, '\0'))).status()),
      HasSubstr("f32[2,3] needs 24 bytes, got 23"));
  EXPECT_FALSE(HostTensor::Create(DType::kF32, {-1}, SharedBytes()).ok());
  EXPECT_FALSE(
      HostTensor::Create(DType::kU8, {int64_t{1} << 40, int64_t{1} << 40}, SharedBytes()).ok());
}

TEST(HostTensor, ReadsUnalignedBytes) {
  const HostTensor one = HostTensor::FromDoubles(DType::kF64, {1}, {2.5});
  const std::string shifted = "x" + std::string(one.bytes().view());
  const auto tensor = HostTensor::Create(DType::kF64, {1}, SharedBytes(shifted).Slice(1, 8));
  EXPECT_THAT(tensor->ToDoubles(), ElementsAre(2.5));
}

TEST(HostTensor, ConvertsWithSaturationAndTiesToEven) {
  EXPECT_THAT(HostTensor::FromDoubles(DType::kI8, {5}, {0.5, 1.5, 300, -300, NAN}).ToInts(),
              ElementsAre(0, 2, 127, -128, 0));
  EXPECT_THAT(HostTensor::FromInts(DType::kU32, {2}, {-1, int64_t{1} << 40}).ToInts(),
              ElementsAre(0, 4294967295));
  EXPECT_THAT(HostTensor::FromDoubles(DType::kI64, {2}, {1e300, -1e300}).ToInts(),
              ElementsAre(INT64_MAX, INT64_MIN));
  EXPECT_THAT(HostTensor::FromDoubles(DType::kBool, {3}, {0, 1, 7}).ToInts(), ElementsAre(0, 1, 1));
  EXPECT_THAT(HostTensor::FromDoubles(DType::kC64, {1}, {1, -2}).ToDoubles(), ElementsAre(1, -2));
  EXPECT_THAT(HostTensor::FromInts(DType::kF16, {1}, {3}).ToDoubles(), ElementsAre(3));
}

TEST(Conversions, EveryHalfRoundTrips) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = F16ToF32(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(F16ToF32(F32ToF16(value))));
    } else {
      EXPECT_EQ(F32ToF16(value), half);
      EXPECT_EQ(RoundTo(DType::kF16, value), value);
    }
  }
}

TEST(Conversions, EveryBFloatRoundTrips) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto bfloat = static_cast<uint16_t>(bits);
    const float value = BF16ToF32(bfloat);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(BF16ToF32(F32ToBF16(value))));
    } else {
      EXPECT_EQ(F32ToBF16(value), bfloat);
      EXPECT_EQ(RoundTo(DType::kBF16, value), value);
    }
  }
}

// Between two neighbours the nearer one wins, in the middle the even one.
TEST(Conversions, RoundToNearestEven) {
  for (uint32_t bits = 0; bits < 0x7bff; ++bits) {
    const float low = F16ToF32(static_cast<uint16_t>(bits));
    const float high = F16ToF32(static_cast<uint16_t>(bits + 1));
    const float middle = (low + high) / 2;
    EXPECT_EQ(F32ToF16(middle), bits + (bits & 1));
    EXPECT_EQ(F32ToF16(std::nextafter(middle, low)), bits);
    EXPECT_EQ(F32ToF16(std::nextafter(middle, high)), bits + 1);
    EXPECT_EQ(RoundTo(DType::kF16, middle), bits & 1 ? high : low);
  }
  EXPECT_EQ(F16ToF32(F32ToF16(65519)), 65504);
  EXPECT_EQ(F16ToF32(F32ToF16(65520)), INFINITY);
  EXPECT_EQ(F32ToBF16(std::bit_cast<float>(0x3f808000u)), 0x3f80);
  EXPECT_EQ(F32ToBF16(std::bit_cast<float>(0x3f818000u)), 0x3f82);
}

// Through float a double halfway case would round twice.
TEST(Conversions, DoublesRoundOnce) {
  const double just_above_half = 1 + 0x1p-11 + 0x1p-40;
  EXPECT_EQ(RoundTo(DType::kF16, just_above_half), 1 + 0x1p-10);
  EXPECT_THAT(HostTensor::FromDoubles(DType::kF16, {1}, {just_above_half}).ToDoubles(),
              ElementsAre(1 + 0x1p-10));
  EXPECT_EQ(RoundTo(DType::kF16, 65520.0), INFINITY);
  EXPECT_EQ(RoundTo(DType::kBF16, -1e39), -INFINITY);
  EXPECT_EQ(RoundTo(DType::kU8, 2.5), 2);
}

TEST(Conversions, IntegersSaturateOrWrap) {
  EXPECT_EQ(SaturateToInt(DType::kI8, -1e9), -128);
  EXPECT_EQ(SaturateToInt(DType::kU8, -0.9), 0);
  EXPECT_EQ(SaturateToInt(DType::kI64, 9.3e18), INT64_MAX);
  EXPECT_EQ(SaturateToInt(DType::kI32, -7.9), -7);
  EXPECT_EQ(WrapToInt(DType::kI8, 130), -126);
  EXPECT_EQ(WrapToInt(DType::kU32, -1), 4294967295);
  EXPECT_EQ(WrapToInt(DType::kBool, 4), 1);
}

}  // namespace
}  // namespace rlx
