// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

namespace rlx {

// Philox 4x32-10, the counter-based generator of Salmon et al. (SC11) with the published
// multipliers 0xD2511F53 and 0xCD9E8D57: the same counter and key give the same four words on every
// device, and those of numpy and JAX.
constexpr std::array<uint32_t, 4> Philox(std::array<uint32_t, 4> counter, uint64_t key) {
  auto k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * counter[0], b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ k0, static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ k1, static_cast<uint32_t>(a)};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return counter;
}

// Uniform in [0, 1): the top 24 bits of the first word, so that f32 holds it exactly.
constexpr double PhiloxUniform(std::array<uint32_t, 4> counter, uint64_t key) {
  return static_cast<double>(Philox(counter, key)[0] >> 8) * 0x1p-24;
}

}  // namespace rlx
