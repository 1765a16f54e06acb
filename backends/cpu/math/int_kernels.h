// SPDX-License-Identifier: Apache-2.0
// The product of i32 over a wrapper V of integer vectors; instantiated in int_kernels_<isa>.cc,
// which say what V has to have.
#pragma once

#include "backends/cpu/math/int_task.h"
#include "backends/cpu/math/simd_common.h"

namespace rlx::cpu {

[[gnu::always_inline]] inline int32_t WrapAdd(int32_t a, int32_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
}

struct IntSpan {
  int32_t low, high, sum;
  [[gnu::always_inline]] bool fits() const { return int64_t{high} - low <= 255; }
};

template <class V>
[[gnu::always_inline]] inline IntSpan SpanOf(const int32_t* a, int64_t k) {
  IntSpan span{a[0], a[0], 0};
  int64_t i = 0;
  if (k >= V::kLanes) {
    typename V::I low = V::Load(a), high = low, sum = V::Set(0);
    for (; i + V::kLanes <= k; i += V::kLanes) {
      const typename V::I x = V::Load(a + i);
      low = V::Min(low, x);
      high = V::Max(high, x);
      sum = V::Add(sum, x);
    }
    alignas(64) int32_t lows[V::kLanes], highs[V::kLanes], sums[V::kLanes];
    V::Store(lows, low);
    V::Store(highs, high);
    V::Store(sums, sum);
    for (int lane = 0; lane < V::kLanes; ++lane) {
      if (lows[lane] < span.low) span.low = lows[lane];
      if (highs[lane] > span.high) span.high = highs[lane];
      span.sum = WrapAdd(span.sum, sums[lane]);
    }
  }
  for (; i < k; ++i) {
    if (a[i] < span.low) span.low = a[i];
    if (a[i] > span.high) span.high = a[i];
    span.sum = WrapAdd(span.sum, a[i]);
  }
  return span;
}

template <class V>
IntRow CodeRow(const IntRowTask& t) {
  const IntSpan span = SpanOf<V>(t.a, t.k);
  if (!span.fits()) return {.sum = span.sum, .wide = true};
  const typename V::I low = V::Set(span.low);
  int64_t i = 0;
  for (; i + V::kLanes <= t.k; i += V::kLanes) {
    V::StoreCodes(t.codes + i, V::Sub(V::Load(t.a + i), low));
  }
  for (; i < t.k; ++i) t.codes[i] = static_cast<uint8_t>(t.a[i] - span.low);
  for (; i % kQuad != 0; ++i) t.codes[i] = 0;
  return {.low = span.low, .sum = span.sum};
}

// Columns of a panel's vector v that C has.
template <class V>
[[gnu::always_inline]] inline void StoreColumns(const IntPanelTask& t, int64_t row, int v,
                                                typename V::I x) {
  const int64_t at = v * V::kLanes, left = t.columns - at;
  int32_t* c = t.c + row * t.ldc + at;
  if (left >= V::kLanes) return V::Store(c, x);
  alignas(64) int32_t lanes[V::kLanes];
  V::Store(lanes, x);
  for (int64_t i = 0; i < left; ++i) c[i] = lanes[i];
}

// `mr` rows that have codes against a panel that has codes.
template <class V, int mr>
[[gnu::noinline]] void IntTile(const IntPanelTask& t, int64_t row) {
  using I = typename V::I;
  constexpr int nv = V::kPanelVectors;
  I sum[mr][nv];
#pragma GCC unroll 16
  for (int i = 0; i < mr; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < nv; ++v) sum[i][v] = V::Set(0);
  }
  const int64_t quads = CeilDiv(t.k, kQuad);
  const uint8_t* a = t.codes + row * quads * kQuad;
  const int32_t* b = static_cast<const int32_t*>(t.b);
  for (int64_t q = 0; q < quads; ++q, a += kQuad, b += nv * V::kLanes) {
    typename V::Codes codes[nv];
#pragma GCC unroll 4
    for (int v = 0; v < nv; ++v) {
      __builtin_prefetch(b + v * V::kLanes + V::kAhead);
      codes[v] = V::Read(b + v * V::kLanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < mr; ++i) {
      const typename V::Quad x = V::Spread(a + i * quads * kQuad);
#pragma GCC unroll 4
      for (int v = 0; v < nv; ++v) V::Dot(sum[i][v], x, codes[v]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < mr; ++i) {
    const IntRow& info = t.row[row + i];
    const I low = V::Set(info.low), total = V::Set(info.sum);
#pragma GCC unroll 4
    for (int v = 0; v < nv; ++v) {
      const I rows = V::Mul(low, V::Load(t.head.sums + v * V::kLanes));
      const I columns = V::Mul(total, V::Load(t.head.lows + v * V::kLanes));
      StoreColumns<V>(t, row + i, v, V::Add(sum[i][v], V::Add(rows, columns)));
    }
  }
}

template <class V, int mr = V::kTileRows>
[[gnu::always_inline]] inline void IntTileOf(const IntPanelTask& t, int64_t row, int64_t rows) {
  if constexpr (mr > 0) {
    rows == mr ? IntTile<V, mr>(t, row) : IntTileOf<V, mr - 1>(t, row, rows);
  }
}

// Elements `k` of B in a panel's vector v, whichever way they are held.
template <class V>
[[gnu::always_inline]] inline typename V::I ElementsOf(const IntPanelTask& t, int64_t k, int v) {
  constexpr int64_t kWidth = V::kPanelVectors * V::kLanes;
  const int32_t* b = static_cast<const int32_t*>(t.b);
  if (t.wide) return V::Load(b + k * kWidth + v * V::kLanes);
  const typename V::I quad = V::Load(b + k / kQuad * kWidth + v * V::kLanes);
  const int up = static_cast<int>(24 - k % kQuad * 8);
  return V::Add(V::Signed(quad, up), V::Load(t.head.lows + v * V::kLanes));
}

// One row of any values against any panel.
template <class V>
[[gnu::noinline]] void WideRow(const IntPanelTask& t, int64_t row) {
  typename V::I sum[V::kPanelVectors];
  for (typename V::I& s : sum) s = V::Set(0);
  for (int64_t k = 0; k < t.k; ++k) {
    const typename V::I x = V::Set(t.a[row * t.lda + k]);
#pragma GCC unroll 4
    for (int v = 0; v < V::kPanelVectors; ++v) {
      sum[v] = V::Add(sum[v], V::Mul(x, ElementsOf<V>(t, k, v)));
    }
  }
  for (int v = 0; v < V::kPanelVectors; ++v) StoreColumns<V>(t, row, v, sum[v]);
}

template <class V>
void IntPanel(const IntPanelTask& t) {
  for (int64_t i = 0, rows; i < t.rows; i += rows) {
    rows = t.wide ? 0 : Least(t.rows - i, V::kTileRows);
    for (int64_t r = 0; r < rows; ++r) {
      if (t.row[i + r].wide) rows = r;
    }
    if (rows == 0) {
      WideRow<V>(t, i);
      rows = 1;
    } else {
      IntTileOf<V>(t, i, rows);
    }
  }
}

}  // namespace rlx::cpu
