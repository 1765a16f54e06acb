// SPDX-License-Identifier: Apache-2.0
// Quantized weights whose scales are tensors of their own, [k,n] codes in rows, over a SIMD wrapper
// V: unpacked into a panel, or multiplied with a few rows as they are unpacked. Instantiated once
// per ISA in decode_kernels_<isa>.cc.
#pragma once

#include "backends/cpu/math/decode_task.h"
#include "backends/cpu/math/simd_common.h"

namespace rlx::cpu {

// The first n of a vector of codes at `at`; the rest reads as zeros, not at all from memory.
template <class V, bool nibbles>
[[gnu::always_inline]] inline typename V::F LoadCodes(const uint8_t* at, int n = V::kLanes) {
  constexpr int kBytes = nibbles ? V::kLanes / 2 : V::kLanes;
  uint8_t last[kBytes] = {};
  if (n < V::kLanes) {
    __builtin_memcpy(last, at, static_cast<unsigned>(nibbles ? (n + 1) / 2 : n));
    at = last;
  }
  if constexpr (nibbles) {
    return V::LoadNibbles(at);
  } else {
    return V::LoadSigned(at);
  }
}

// --- Sums

// Rows of codes that are summed before their scale is applied, and how far ahead in rows the next
// ones are fetched: into L2, since rows a power of two apart would push each other out of L1.
inline constexpr int kSumDepth = 8;
inline constexpr int kRowsAhead = 2 * kSumDepth;

// `depth` rows (kSumDepth of them where `whole`) and `vectors` vectors of columns; the last vector
// has `tail` columns.
template <class V, bool nibbles, bool zeros, int rows, int vectors, bool whole>
[[gnu::always_inline]] inline void SumTile(const SumCodesTask& t, int64_t p, int depth, int64_t j,
                                           int tail) {
  using F = typename V::F;
  constexpr int kLanes = V::kLanes, kBytes = nibbles ? kLanes / 2 : kLanes;
  F sum[rows][vectors], zero[vectors];
#pragma GCC unroll 8
  for (int v = 0; v < vectors; ++v) {
    if constexpr (zeros) {
      zero[v] = whole ? V::Load(t.zero + j + v * kLanes) : V::LoadN(t.zero + j, tail);
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) sum[r][v] = V::Zero();
  }
  const uint8_t* at = t.codes + p * t.ld + (nibbles ? j / 2 : j);
  const float* x = t.x + p;
  const int steps = whole ? kSumDepth : depth;
#pragma GCC unroll 8
  for (int i = 0; i < steps; ++i) {
    F q[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      q[v] = LoadCodes<V, nibbles>(at + i * t.ld + v * kBytes, whole ? kLanes : tail);
      if constexpr (zeros) q[v] = V::Sub(q[v], zero[v]);
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const F factor = V::Set(x[r * t.ldx + i]);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[r][v] = V::Fma(factor, q[v], sum[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < vectors; ++v) {
    const float* s = t.scale + j + v * kLanes;
    const F scale = whole ? V::Load(s) : V::LoadN(s, tail);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      float* out = t.out + r * t.ld_out + j + v * kLanes;
      if constexpr (whole) {
        V::Store(out, V::Fma(sum[r][v], scale, V::Load(out)));
      } else {
        V::StoreN(out, V::Fma(sum[r][v], scale, V::LoadN(out, tail)), tail);
      }
    }
  }
}

template <class V, bool nibbles, bool zeros, int rows>
[[gnu::noinline]] void SumRowsOf(const SumCodesTask& t) {
  // As many columns as a cache line has codes, if the sums of all rows leave registers for them.
  constexpr int kVectors = rows <= 2 ? 4 : rows <= 4 ? 2 : V::kLanes == 16 ? 2 : 1;
  constexpr int kColumns = kVectors * V::kLanes;
  constexpr int64_t kLine = nibbles ? 128 : 64;
  for (int64_t p = 0; p < t.depth; p += kSumDepth) {
    const int depth = static_cast<int>(Least(kSumDepth, t.depth - p));
    int64_t j = 0;
    if (depth == kSumDepth) {
      for (; j + kColumns <= t.columns; j += kColumns) {
        if (j % kLine == 0) {
          const uint8_t* ahead = t.codes + (p + kRowsAhead) * t.ld + (nibbles ? j / 2 : j);
#pragma GCC unroll 8
          for (int i = 0; i < kSumDepth; ++i) __builtin_prefetch(ahead + i * t.ld, 0, 2);
        }
        SumTile<V, nibbles, zeros, rows, kVectors, true>(t, p, depth, j, V::kLanes);
      }
    }
    for (; j < t.columns; j += V::kLanes) {
      const int tail = static_cast<int>(Least(V::kLanes, t.columns - j));
      SumTile<V, nibbles, zeros, rows, 1, false>(t, p, depth, j, tail);
    }
  }
}

template <class V, bool nibbles, bool zeros>
[[gnu::always_inline]] inline void SumRows(SumCodesTask t) {
  const auto some = [&t]<int rows>() {
    for (; t.rows >= rows; t.rows -= rows) {
      SumRowsOf<V, nibbles, zeros, rows>(t);
      t.x += rows * t.ldx;
      t.out += rows * t.ld_out;
    }
  };
  some.template operator()<8>();
  some.template operator()<4>();
  some.template operator()<2>();
  some.template operator()<1>();
}

template <class V>
void SumCodes(const SumCodesTask& t) {
  if (t.nibbles) return t.zero == nullptr ? SumRows<V, true, false>(t) : SumRows<V, true, true>(t);
  t.zero == nullptr ? SumRows<V, false, false>(t) : SumRows<V, false, true>(t);
}

// --- Panels

template <class V, bool nibbles, bool zeros, int vectors>
[[gnu::noinline]] void DecodePanel(const CodesTask& t) {
  using F = typename V::F;
  constexpr int kLanes = V::kLanes, kBytes = nibbles ? kLanes / 2 : kLanes;
  const int tail = t.columns - (vectors - 1) * kLanes;
  F scale[vectors], zero[vectors];
#pragma GCC unroll 3
  for (int v = 0; v < vectors; ++v) {
    const int n = v == vectors - 1 ? tail : kLanes;
    scale[v] = V::LoadN(t.scale + v * kLanes, n);
    if constexpr (zeros) zero[v] = V::LoadN(t.zero + v * kLanes, n);
  }
  const uint8_t* at = t.codes;
  const uint8_t* ahead = t.ahead;
  float* out = t.out;
  const auto rows = [&]<bool whole>() __attribute__((always_inline)) {
    for (int64_t p = 0; p < t.rows; ++p, at += t.ld, ahead += t.ld, out += vectors * kLanes) {
      __builtin_prefetch(ahead, 0, 2);
      __builtin_prefetch(ahead + vectors * kBytes - 1, 0, 2);
#pragma GCC unroll 3
      for (int v = 0; v < vectors; ++v) {
        const int n = whole || v < vectors - 1 ? kLanes : tail;
        F q = LoadCodes<V, nibbles>(at + v * kBytes, n);
        if constexpr (zeros) q = V::Sub(q, zero[v]);
        V::Store(out + v * kLanes, V::Mul(q, scale[v]));
      }
    }
  };
  tail == kLanes ? rows.template operator()<true>() : rows.template operator()<false>();
}

template <class V, bool nibbles, bool zeros>
[[gnu::always_inline]] inline void DecodePanels(const CodesTask& t) {
  if constexpr (V::kTileVectors >= 3) {
    if (t.vectors == 3) return DecodePanel<V, nibbles, zeros, 3>(t);
  }
  t.vectors == 2 ? DecodePanel<V, nibbles, zeros, 2>(t) : DecodePanel<V, nibbles, zeros, 1>(t);
}

template <class V>
void DecodeCodes(const CodesTask& t) {
  const bool zeros = t.zero != nullptr;
  if (t.nibbles) return zeros ? DecodePanels<V, true, true>(t) : DecodePanels<V, true, false>(t);
  zeros ? DecodePanels<V, false, true>(t) : DecodePanels<V, false, false>(t);
}

}  // namespace rlx::cpu
