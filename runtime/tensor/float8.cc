// SPDX-License-Identifier: Apache-2.0
#include "runtime/tensor/float8.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace rlx {
namespace {

struct Format {
  int fraction_bits;
  int least_exponent;  // of normal numbers
  int most;            // the code of the largest finite number
  int infinity;        // what infinity becomes
  int nan;
};
constexpr Format kE4M3 = {3, -6, 0x7e, 0x7e, 0x7f};
constexpr Format kE5M2 = {2, -14, 0x7b, 0x7c, 0x7e};

uint8_t Encode(const Format& format, double value) {
  const int sign = std::signbit(value) ? 0x80 : 0;
  const auto with_sign = [sign](int code) { return static_cast<uint8_t>(sign | code); };
  if (std::isnan(value)) return with_sign(format.nan);
  if (std::isinf(value)) return with_sign(format.infinity);
  if (value == 0) return with_sign(0);
  // Codes count on from 0 in steps that double with each exponent, subnormal ones included.
  const int exponent = std::max(std::ilogb(value), format.least_exponent);
  if (exponent > 64) return with_sign(format.most);
  const double steps = std::nearbyint(std::ldexp(std::abs(value), format.fraction_bits - exponent));
  const int code =
      ((exponent - format.least_exponent) << format.fraction_bits) + static_cast<int>(steps);
  return with_sign(std::min(code, format.most));
}

}  // namespace

float Fp8E4M3ToF32(uint8_t bits) {
  const int exponent = bits >> 3 & 15, mantissa = bits & 7;
  const float sign = (bits & 0x80) != 0 ? -1.0F : 1.0F;
  if (exponent == 15 && mantissa == 7) return std::numeric_limits<float>::quiet_NaN();
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(mantissa), -9);
  return sign * std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
}

float Fp8E5M2ToF32(uint8_t bits) {
  const int exponent = bits >> 2 & 31, mantissa = bits & 3;
  const float sign = (bits & 0x80) != 0 ? -1.0F : 1.0F;
  if (exponent == 31) {
    return mantissa != 0 ? std::numeric_limits<float>::quiet_NaN()
                         : sign * std::numeric_limits<float>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(mantissa), -16);
  return sign * std::ldexp(static_cast<float>(4 + mantissa), exponent - 17);
}

uint8_t ToFp8E4M3(double value) { return Encode(kE4M3, value); }
uint8_t ToFp8E5M2(double value) { return Encode(kE5M2, value); }

}  // namespace rlx
