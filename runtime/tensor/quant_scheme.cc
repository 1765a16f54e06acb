// SPDX-License-Identifier: Apache-2.0
#include "runtime/tensor/quant_scheme.h"

#include "runtime/tensor/float8.h"

namespace rlx {
std::optional<QuantScheme> ParseQuantScheme(std::string_view name) {
  for (const QuantSchemeInfo& info : kQuantSchemes)
    if (info.name == name) return info.scheme;
  return std::nullopt;
}

float Fp4E2M1ToF32(uint8_t nibble) {
  constexpr float kMagnitude[8] = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6};
  const float magnitude = kMagnitude[nibble & 7];
  return (nibble & 8) != 0 ? -magnitude : magnitude;
}

float Nvfp4ScaleToF32(uint8_t bits) { return (bits & 0x7f) == 0x7f ? 0.0F : Fp8E4M3ToF32(bits); }

}  // namespace rlx
