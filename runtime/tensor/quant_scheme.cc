// SPDX-License-Identifier: Apache-2.0
#include "runtime/tensor/quant_scheme.h"

#include <cmath>
#include <limits>

namespace rlx {
std::optional<QuantScheme> ParseQuantScheme(std::string_view name) {
  for (const QuantSchemeInfo& info : kQuantSchemes)
    if (info.name == name) return info.scheme;
  return std::nullopt;
}

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

float Fp4E2M1ToF32(uint8_t nibble) {
  constexpr float kMagnitude[8] = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6};
  const float magnitude = kMagnitude[nibble & 7];
  return (nibble & 8) != 0 ? -magnitude : magnitude;
}

float Nvfp4ScaleToF32(uint8_t bits) { return (bits & 0x7f) == 0x7f ? 0.0F : Fp8E4M3ToF32(bits); }

}  // namespace rlx
