// SPDX-License-Identifier: Apache-2.0
// Eight-lane vectors on AVX2, FMA and F16C. See simd_generic.h for what each operation means.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "backends/cpu/math/simd_common.h"

namespace rlx::cpu {

struct Avx2 {
  using F = __m256;
  using Mask = __m256;
  static constexpr int kLanes = 8;
  static constexpr int kTileRows = 4, kTileVectors = 3;  // register tile of the matrix product

  [[gnu::always_inline]] static F Zero() { return _mm256_setzero_ps(); }
  [[gnu::always_inline]] static F Set(float x) { return _mm256_set1_ps(x); }
  [[gnu::always_inline]] static F Load(const float* p) { return _mm256_loadu_ps(p); }
  [[gnu::always_inline]] static void Store(float* p, F x) { _mm256_storeu_ps(p, x); }
  [[gnu::always_inline]] static F LoadN(const float* p, int n) {
    return n == kLanes ? Load(p) : _mm256_maskload_ps(p, First(n));
  }
  [[gnu::always_inline]] static F LoadBytes(const uint8_t* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
  }
  [[gnu::always_inline]] static F LoadSigned(const uint8_t* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
  }
  [[gnu::always_inline]] static F SetHalf(const uint8_t* p) {
    uint16_t half;
    __builtin_memcpy(&half, p, sizeof half);
    return _mm256_cvtph_ps(_mm_set1_epi16(static_cast<int16_t>(half)));
  }
  template <int shift, int mask>
  [[gnu::always_inline]] static F LoadField(const uint8_t* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    const __m256i shifted = _mm256_srli_epi32(_mm256_cvtepu8_epi32(bytes), shift);
    return _mm256_cvtepi32_ps(_mm256_and_si256(shifted, _mm256_set1_epi32(mask)));
  }
  [[gnu::always_inline]] static F LoadNibbles(const uint8_t* p) {
    int bytes;
    __builtin_memcpy(&bytes, p, sizeof bytes);
    const __m128i wide = _mm_cvtepu8_epi16(_mm_cvtsi32_si128(bytes));
    const __m128i pairs = _mm_or_si128(wide, _mm_slli_epi16(wide, 4));
    const __m128i nibbles = _mm_and_si128(pairs, _mm_set1_epi8(15));
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(nibbles));
  }
  [[gnu::always_inline]] static F LaneNumbers() { return _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7); }
  [[gnu::always_inline]] static void StoreN(float* p, F x, int n) {
    n == kLanes ? Store(p, x) : _mm256_maskstore_ps(p, First(n), x);
  }

  [[gnu::always_inline]] static F Add(F a, F b) { return _mm256_add_ps(a, b); }
  [[gnu::always_inline]] static F Sub(F a, F b) { return _mm256_sub_ps(a, b); }
  [[gnu::always_inline]] static F Mul(F a, F b) { return _mm256_mul_ps(a, b); }
  [[gnu::always_inline]] static F Div(F a, F b) { return _mm256_div_ps(a, b); }
  [[gnu::always_inline]] static F Max(F a, F b) { return _mm256_max_ps(a, b); }
  [[gnu::always_inline]] static F Min(F a, F b) { return _mm256_min_ps(a, b); }
  [[gnu::always_inline]] static F Fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  [[gnu::always_inline]] static F Abs(F a) { return _mm256_andnot_ps(Set(-0.0f), a); }
  [[gnu::always_inline]] static F Round(F a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }

  [[gnu::always_inline]] static void Accumulate(F& sum, F a, F b) {
    asm("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
  }
  [[gnu::always_inline]] static F TimesPowerOfTwo(F a, F n) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), exponent));
  }

  [[gnu::always_inline]] static Mask Less(F a, F b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
  [[gnu::always_inline]] static F Select(Mask m, F yes, F no) {
    return _mm256_blendv_ps(no, yes, m);
  }

  [[gnu::always_inline]] static float Sum(F a) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
  }
  [[gnu::always_inline]] static float Largest(F a) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
  }

  [[gnu::always_inline]] static F Even(F a, F b) {
    const __m256d pairs = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88));
    return _mm256_castpd_ps(_mm256_permute4x64_pd(pairs, 0xD8));
  }

  // Three rounds of two-way exchanges: pairs of lanes, of double lanes, then of 128-bit halves.
  [[gnu::always_inline]] static void Transpose(F r[8]) {
    F t[8];
#pragma GCC unroll 16
    for (int i = 0; i < 8; i += 2) {
      t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
      t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 8; i += 4) {
      r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
      r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xEE);
      r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
      r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 4; ++i) {
      t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
      t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 8; ++i) r[i] = t[i];
  }

 private:
  [[gnu::always_inline]] static __m256i First(int n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane);
  }
};

}  // namespace rlx::cpu
