// SPDX-License-Identifier: Apache-2.0
// What the SIMD wrappers and the kernels written over them share.
//
// Kernels are templates over a wrapper (Generic, Avx2, Avx512) and are instantiated once per ISA,
// each in a file compiled with that ISA's flags. Two rules keep a wide instruction from leaking
// into code that every machine runs: whatever is not a template over the wrapper is forced inline,
// and these files call no library function template.
#pragma once

#include <cstdint>

namespace rlx::cpu {

[[gnu::always_inline]] inline constexpr int64_t Least(int64_t a, int64_t b) {
  return a < b ? a : b;
}
[[gnu::always_inline]] inline constexpr int64_t Most(int64_t a, int64_t b) { return a > b ? a : b; }
[[gnu::always_inline]] inline constexpr int64_t CeilDiv(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
[[gnu::always_inline]] inline constexpr int64_t RoundUp(int64_t a, int64_t b) {
  return CeilDiv(a, b) * b;
}

}  // namespace rlx::cpu
