// SPDX-License-Identifier: Apache-2.0
#include "runtime/tensor/float8.h"

#include <gmock/gmock.h>

#include <cmath>
#include <vector>

#include "runtime/tensor/host_tensor.h"

namespace rlx {
namespace {

using ::testing::ElementsAre;

struct Float8 {
  DType dtype;
  float (*to_f32)(uint8_t);
  uint8_t (*from)(double);
  int fraction_bits, bias;
  int finite;  // codes 0 … finite are numbers from 0 up
};
const Float8 kE4M3 = {DType::kFp8E4M3, Fp8E4M3ToF32, ToFp8E4M3, 3, 7, 0x7e};
const Float8 kE5M2 = {DType::kFp8E5M2, Fp8E5M2ToF32, ToFp8E5M2, 2, 15, 0x7b};

class Float8Test : public ::testing::TestWithParam<Float8> {
 protected:
  const Float8& f_ = GetParam();
};

// Sign, exponent and fraction as the specification has them, for all 256 codes.
TEST_P(Float8Test, EveryCodeIsTheNumberThatItsFieldsSay) {
  for (int code = 0; code < 256; ++code) {
    const int magnitude = code & 0x7f;
    const int exponent = magnitude >> f_.fraction_bits;
    const int fraction = magnitude & ((1 << f_.fraction_bits) - 1);
    const double sign = code >= 128 ? -1 : 1;
    const float got = f_.to_f32(static_cast<uint8_t>(code));
    if (magnitude > f_.finite) {
      const bool infinite = f_.dtype == DType::kFp8E5M2 && fraction == 0;
      EXPECT_TRUE(infinite ? got == sign * INFINITY : std::isnan(got)) << code;
      continue;
    }
    const double whole = fraction + (exponent == 0 ? 0 : 1 << f_.fraction_bits);
    const double want =
        sign * std::ldexp(whole, std::max(exponent, 1) - f_.bias - f_.fraction_bits);
    EXPECT_EQ(got, want) << code;
    EXPECT_EQ(std::signbit(got), code >= 128) << code;
  }
}

TEST_P(Float8Test, EveryCodeComesBack) {
  for (int code = 0; code < 256; ++code) {
    const float value = f_.to_f32(static_cast<uint8_t>(code));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(f_.to_f32(f_.from(value))));
    } else {
      EXPECT_EQ(f_.from(value), code);
      EXPECT_EQ(RoundTo(f_.dtype, value), value);
    }
  }
}

// Between two neighbours the nearer one wins and in the middle the even one, decided on the double:
// by way of f32 the numbers next to the middle would be taken for it.
TEST_P(Float8Test, DoublesRoundOnceToNearestEven) {
  for (int code = 0; code < f_.finite; ++code) {
    const double low = f_.to_f32(static_cast<uint8_t>(code));
    const double high = f_.to_f32(static_cast<uint8_t>(code + 1));
    const double middle = (low + high) / 2;
    for (int sign : {0, 0x80}) {
      const double s = sign == 0 ? 1 : -1;
      EXPECT_EQ(f_.from(s * middle), sign + code + (code & 1)) << middle;
      EXPECT_EQ(f_.from(s * std::nextafter(middle, low)), sign + code) << middle;
      EXPECT_EQ(f_.from(s * std::nextafter(middle, high)), sign + code + 1) << middle;
      EXPECT_EQ(RoundTo(f_.dtype, s * middle), s * (code & 1 ? high : low));
      EXPECT_EQ(RoundTo(f_.dtype, s * std::nextafter(middle, high)), s * high);
    }
  }
}

TEST_P(Float8Test, FiniteNumbersSaturate) {
  const double most = f_.to_f32(static_cast<uint8_t>(f_.finite));
  for (double value : {most, most * 1.01, most * 1.1, most * 2, 1e6, 1e38, 1e300}) {
    EXPECT_EQ(f_.from(value), f_.finite) << value;
    EXPECT_EQ(f_.from(-value), f_.finite + 128) << value;
    EXPECT_EQ(RoundTo(f_.dtype, -value), -most) << value;
  }
  EXPECT_EQ(f_.from(1e-300), 0);
  EXPECT_EQ(f_.from(-1e-300), 0x80);
}

INSTANTIATE_TEST_SUITE_P(Formats, Float8Test, ::testing::Values(kE4M3, kE5M2),
                         [](const auto& info) { return std::string(Name(info.param.dtype)); });

TEST(Float8, InfinityStaysWhereThereIsOne) {
  EXPECT_EQ(ToFp8E4M3(INFINITY), 0x7e);
  EXPECT_EQ(ToFp8E4M3(-INFINITY), 0xfe);
  EXPECT_EQ(RoundTo(DType::kFp8E4M3, -INFINITY), -448);
  EXPECT_EQ(ToFp8E5M2(INFINITY), 0x7c);
  EXPECT_EQ(ToFp8E5M2(-INFINITY), 0xfc);
  EXPECT_EQ(RoundTo(DType::kFp8E5M2, -INFINITY), -INFINITY);
  EXPECT_TRUE(std::isnan(RoundTo(DType::kFp8E4M3, NAN)));
  EXPECT_EQ(ToFp8E4M3(NAN), 0x7f);
  EXPECT_EQ(ToFp8E5M2(-NAN), 0xfe);
}

TEST(Float8, TensorsHoldAByteAnElement) {
  const HostTensor x = HostTensor::FromDoubles(DType::kFp8E4M3, {4}, {1, -0.3, 1000, 1e-9});
  EXPECT_EQ(x.bytes().view(), std::string("\x38\xaa\x7e\x00", 4));
  EXPECT_THAT(x.ToDoubles(), ElementsAre(1, -0.3125, 448, 0));
  EXPECT_THAT(HostTensor::FromInts(DType::kFp8E5M2, {3}, {3, -7, 1 << 20}).ToDoubles(),
              ElementsAre(3, -7, 57344));
}

}  // namespace
}  // namespace rlx
