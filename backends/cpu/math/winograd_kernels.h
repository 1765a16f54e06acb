// SPDX-License-Identifier: Apache-2.0
// The transforms of winograd.cc over a SIMD wrapper V; instantiated in conv_rows_kernels_<isa>.cc.
#pragma once

#include "backends/cpu/math/panel_kernels.h"
#include "backends/cpu/math/winograd_task.h"

namespace rlx::cpu {

// Four values of a row or column, transformed.
template <class V>
[[gnu::always_inline]] inline void TileOfFour(typename V::F& a, typename V::F& b, typename V::F& c,
                                              typename V::F& d) {
  const typename V::F first = V::Sub(a, c), second = V::Add(b, c);
  const typename V::F third = V::Sub(c, b), fourth = V::Sub(b, d);
  a = first, b = second, c = third, d = fourth;
}

template <class V>
[[gnu::always_inline]] inline typename V::F LoadSome(const float* p, int n) {
  return n == V::kLanes ? V::Load(p) : V::LoadN(p, n);
}

template <class V>
[[gnu::always_inline]] inline void WinogradTileAt(const WinogradTileTask& t, int64_t c, int n) {
  typename V::F d[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    d[i] = LoadSome<V>(t.in[i] + c, n);
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) TileOfFour<V>(d[j], d[4 + j], d[8 + j], d[12 + j]);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) TileOfFour<V>(d[4 * i], d[4 * i + 1], d[4 * i + 2], d[4 * i + 3]);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    float* out = t.out + i * t.stride + c;
    n == V::kLanes ? V::Store(out, d[i]) : V::StoreN(out, d[i], n);
  }
}

template <class V>
void WinogradTile(const WinogradTileTask& t) {
  int64_t c = 0;
  for (; c + V::kLanes <= t.channels; c += V::kLanes) WinogradTileAt<V>(t, c, V::kLanes);
  if (c < t.channels) WinogradTileAt<V>(t, c, static_cast<int>(t.channels - c));
}

template <class V>
[[gnu::always_inline]] inline void WinogradSumAt(const WinogradSumTask& t, const Ending& ending,
                                                 int64_t c, int n) {
  using F = typename V::F;
  F top[4], bottom[4];
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const float* m = t.products + j * t.stride + c;
    const F one = LoadSome<V>(m + 4 * t.stride, n), two = LoadSome<V>(m + 8 * t.stride, n);
    top[j] = V::Add(LoadSome<V>(m, n), V::Add(one, two));
    bottom[j] = V::Sub(V::Sub(one, two), LoadSome<V>(m + 12 * t.stride, n));
  }
  const F bias = t.bias == nullptr ? V::Zero() : LoadSome<V>(t.bias + c, n);
  const F sums[4] = {V::Add(top[0], V::Add(top[1], top[2])), V::Sub(V::Sub(top[1], top[2]), top[3]),
                     V::Add(bottom[0], V::Add(bottom[1], bottom[2])),
                     V::Sub(V::Sub(bottom[1], bottom[2]), bottom[3])};
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    if (t.out[i] == nullptr) continue;
    F sum = V::Add(sums[i], bias);
    if (t.residual[i] != nullptr) sum = V::Add(sum, LoadSome<V>(t.residual[i] + c, n));
    if (ending.swish) sum = HardSwish<V>(sum);
    if (ending.bounds) sum = V::Min(V::Set(ending.high), V::Max(V::Set(ending.low), sum));
    n == V::kLanes ? V::Store(t.out[i] + c, sum) : V::StoreN(t.out[i] + c, sum, n);
  }
}

template <class V>
void WinogradSum(const WinogradSumTask& t) {
  const Ending ending = EndingOf(t.activation, false);
  int64_t c = 0;
  for (; c + V::kLanes <= t.channels; c += V::kLanes) WinogradSumAt<V>(t, ending, c, V::kLanes);
  if (c < t.channels) WinogradSumAt<V>(t, ending, c, static_cast<int>(t.channels - c));
  if (!ending.later) return;
  for (float* out : t.out) {
    if (out == nullptr) continue;
    Finish<V>({.columns = static_cast<int>(t.channels), .c = out, .activation = t.activation}, 0,
              1);
  }
}

}  // namespace rlx::cpu
