// SPDX-License-Identifier: Apache-2.0
// Four-lane vectors in plain C++ (the compiler's vector extension): SSE2 on x86-64, NEON on
// AArch64. Also the place where every operation of a SIMD wrapper is explained; Avx2 and Avx512
// have the same members.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "backends/cpu/math/simd_common.h"

namespace rlx::cpu {

struct Generic {
  typedef float F __attribute__((vector_size(16)));
  typedef int32_t Mask __attribute__((vector_size(16)));
  typedef uint32_t Bits __attribute__((vector_size(16)));
  static constexpr int kLanes = 4;
  static constexpr int kTileRows = 4, kTileVectors = 2;  // register tile of the matrix product

  [[gnu::always_inline]] static F Zero() { return F{}; }
  [[gnu::always_inline]] static F Set(float x) { return F{x, x, x, x}; }

  // No alignment is needed. The N forms touch the first n lanes alone, 0 <= n <= kLanes; the others
  // read as zero.
  [[gnu::always_inline]] static F Load(const float* p) {
    F x;
    __builtin_memcpy(&x, p, sizeof x);
    return x;
  }
  [[gnu::always_inline]] static void Store(float* p, F x) { __builtin_memcpy(p, &x, sizeof x); }
  [[gnu::always_inline]] static F LoadN(const float* p, int n) {
    F x{};
    for (int i = 0; i < n; ++i) x[i] = p[i];
    return x;
  }
  [[gnu::always_inline]] static F LoadBytes(const uint8_t* p) {
    return F{float(p[0]), float(p[1]), float(p[2]), float(p[3])};
  }
  // Signed bytes; bits shift … of bytes under a mask; and nibbles of kLanes / 2 bytes, low ones
  // first.
  [[gnu::always_inline]] static F LoadSigned(const uint8_t* p) {
    return F{float(int8_t(p[0])), float(int8_t(p[1])), float(int8_t(p[2])), float(int8_t(p[3]))};
  }
  // The IEEE half at p in every lane. In a float's places its exponent is 2^112 too small, which
  // brings subnormals right as well.
  [[gnu::always_inline]] static F SetHalf(const uint8_t* p) {
    uint16_t half;
    __builtin_memcpy(&half, p, sizeof half);
    const uint32_t infinite = (half & 0x7c00) == 0x7c00 ? 0x7f800000 : 0;
    const uint32_t shifted = static_cast<uint32_t>(half & 0x7fff) << 13;
    float magnitude;
    __builtin_memcpy(&magnitude, &shifted, sizeof magnitude);
    magnitude *= 0x1p112F;
    uint32_t bits;
    __builtin_memcpy(&bits, &magnitude, sizeof bits);
    bits |= infinite | static_cast<uint32_t>(half & 0x8000) << 16;
    __builtin_memcpy(&magnitude, &bits, sizeof bits);
    return Set(magnitude);
  }
  template <int shift, int mask>
  [[gnu::always_inline]] static F LoadField(const uint8_t* p) {
    return F{float(p[0] >> shift & mask), float(p[1] >> shift & mask), float(p[2] >> shift & mask),
             float(p[3] >> shift & mask)};
  }
  [[gnu::always_inline]] static F LoadNibbles(const uint8_t* p) {
    return F{float(p[0] & 15), float(p[0] >> 4), float(p[1] & 15), float(p[1] >> 4)};
  }
  [[gnu::always_inline]] static F LaneNumbers() { return F{0, 1, 2, 3}; }
  [[gnu::always_inline]] static void StoreN(float* p, F x, int n) {
    for (int i = 0; i < n; ++i) p[i] = x[i];
  }

  [[gnu::always_inline]] static F Add(F a, F b) { return a + b; }
  [[gnu::always_inline]] static F Sub(F a, F b) { return a - b; }
  [[gnu::always_inline]] static F Mul(F a, F b) { return a * b; }
  [[gnu::always_inline]] static F Div(F a, F b) { return a / b; }
  // Where an operand is NaN the result is b, as x86 has it.
  [[gnu::always_inline]] static F Max(F a, F b) { return a > b ? a : b; }
  [[gnu::always_inline]] static F Min(F a, F b) { return a < b ? a : b; }
  // a b + c, rounded once or twice as the machine has it.
  [[gnu::always_inline]] static F Fma(F a, F b, F c) { return a * b + c; }
  [[gnu::always_inline]] static F Abs(F a) { return a < Zero() ? -a : a; }
  // To the nearest integer, ties to even; |a| < 2^22.
  [[gnu::always_inline]] static F Round(F a) {
    const F magic = Set(12582912.0f);  // 1.5 * 2^23: the sum has no fraction bits left
    return (a + magic) - magic;
  }

  // sum += a b. The wide versions pin the form of the instruction: left to itself the compiler
  // folds the loads of B into the multiply-adds of every row and rotates the accumulators through
  // moves, which costs a quarter of the speed.
  [[gnu::always_inline]] static void Accumulate(F& sum, F a, F b) { sum += a * b; }

  // a 2^n for an integral n; a, n and the result within the normal range. Other lanes are anything:
  // callers compute them and select them away, so the sum must wrap.
  [[gnu::always_inline]] static F TimesPowerOfTwo(F a, F n) {
    const Bits exponent = reinterpret_cast<Bits>(__builtin_convertvector(n, Mask)) << 23;
    return reinterpret_cast<F>(reinterpret_cast<Bits>(a) + exponent);
  }

  [[gnu::always_inline]] static Mask Less(F a, F b) { return a < b; }
  [[gnu::always_inline]] static F Select(Mask m, F yes, F no) { return m ? yes : no; }

  [[gnu::always_inline]] static float Sum(F a) { return (a[0] + a[2]) + (a[1] + a[3]); }
  [[gnu::always_inline]] static float Largest(F a) {
    const float x = a[0] > a[1] ? a[0] : a[1], y = a[2] > a[3] ? a[2] : a[3];
    return x > y ? x : y;
  }

  // Lanes 0, 2, 4, ... of a and b on end.
  [[gnu::always_inline]] static F Even(F a, F b) { return F{a[0], a[2], b[0], b[2]}; }

  // r[i][j] becomes r[j][i], kLanes rows of kLanes.
  [[gnu::always_inline]] static void Transpose(F r[4]) {
    for (int i = 0; i < 4; ++i) {
      for (int j = i + 1; j < 4; ++j) {
        const float t = r[i][j];
        r[i][j] = r[j][i];
        r[j][i] = t;
      }
    }
  }
};

}  // namespace rlx::cpu
