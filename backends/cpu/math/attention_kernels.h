// SPDX-License-Identifier: Apache-2.0
// The inner kernels of attention over a SIMD wrapper V; instantiated in attention_kernels_<isa>.cc.
#pragma once

#include "backends/cpu/math/attention_task.h"
#include "backends/cpu/math/simd_common.h"
#include "backends/cpu/math/simd_math.h"

namespace rlx::cpu {

inline constexpr float kHidden = -__builtin_huge_valf();

// The scores of n <= kLanes keys after softcap and mask; lanes past n are hidden.
template <class V, bool masked>
[[gnu::always_inline]] inline typename V::F Score(const SoftmaxTask& t, int64_t j, int n) {
  typename V::F x = n == V::kLanes ? V::Load(t.scores + j) : V::LoadN(t.scores + j, n);
  if (t.softcap > 0) {
    x = V::Mul(V::Set(t.softcap), Tanh<V>(V::Mul(x, V::Set(1 / t.softcap))));
  }
  if constexpr (masked) {
    x = V::Add(x, n == V::kLanes ? V::Load(t.additive + j) : V::LoadN(t.additive + j, n));
  }
  return n == V::kLanes ? x : V::Select(V::Less(V::LaneNumbers(), V::Set(n)), x, V::Set(kHidden));
}

// Masked scores back into place; returns their maximum. Two chains hide the latency.
template <class V, bool masked>
[[gnu::always_inline]] inline float MaskAndFindMaximum(const SoftmaxTask& t) {
  constexpr int kLanes = V::kLanes;
  typename V::F most0 = V::Set(kHidden), most1 = most0;
  const bool rewrite = masked || t.softcap > 0;
  int64_t j = t.begin;
  for (; j + 2 * kLanes <= t.end; j += 2 * kLanes) {
    const typename V::F x0 = Score<V, masked>(t, j, kLanes);
    const typename V::F x1 = Score<V, masked>(t, j + kLanes, kLanes);
    if (rewrite) V::Store(t.scores + j, x0), V::Store(t.scores + j + kLanes, x1);
    most0 = V::Max(most0, x0);
    most1 = V::Max(most1, x1);
  }
  for (; j < t.end; j += kLanes) {
    const int n = static_cast<int>(Least(t.end - j, kLanes));
    const typename V::F x = Score<V, masked>(t, j, n);
    if (rewrite) V::StoreN(t.scores + j, x, n);
    most0 = V::Max(most0, x);
  }
  return V::Largest(V::Max(most0, most1));
}

template <class V>
[[gnu::always_inline]] inline float Exponentiate(const SoftmaxTask& t, float maximum) {
  constexpr int kLanes = V::kLanes;
  const typename V::F shift = V::Set(maximum);
  typename V::F sum0 = V::Zero(), sum1 = sum0;
  int64_t j = t.begin;
  for (; j + 2 * kLanes <= t.end; j += 2 * kLanes) {
    const typename V::F w0 = ExpOrZero<V>(V::Sub(V::Load(t.scores + j), shift));
    const typename V::F w1 = ExpOrZero<V>(V::Sub(V::Load(t.scores + j + kLanes), shift));
    V::Store(t.scores + j, w0);
    V::Store(t.scores + j + kLanes, w1);
    sum0 = V::Add(sum0, w0);
    sum1 = V::Add(sum1, w1);
  }
  for (; j < t.end; j += kLanes) {
    const int n = static_cast<int>(Least(t.end - j, kLanes));
    const typename V::F w = ExpOrZero<V>(V::Sub(V::LoadN(t.scores + j, n), shift));
    V::StoreN(t.scores + j, w, n);
    // Through memory, so that lanes past n count as zero.
    sum0 = V::Add(sum0, V::LoadN(t.scores + j, n));
  }
  return V::Sum(V::Add(sum0, sum1));
}

template <class V>
float SoftmaxRow(const SoftmaxTask& t) {
  for (int64_t j = 0; j < t.begin; ++j) t.scores[j] = 0;
  for (int64_t j = t.end; j < t.keys; ++j) t.scores[j] = 0;
  if (t.begin >= t.end) return 1;
  const float here =
      t.additive == nullptr ? MaskAndFindMaximum<V, false>(t) : MaskAndFindMaximum<V, true>(t);
  const float before = *t.maximum;
  const float most = here > before ? here : before;
  // A row with everything hidden so far: weights of 0 from any finite shift.
  const float shift = most == kHidden ? 0 : most;
  const float sum = Exponentiate<V>(t, shift);
  float factor[V::kLanes];
  V::Store(factor, ExpOrZero<V>(V::Set(before - shift)));
  *t.maximum = most;
  *t.sum = *t.sum * factor[0] + sum;
  return factor[0];
}

template <class V>
void DotRows(const DotTask& t) {
  constexpr int kLanes = V::kLanes;
  const int64_t whole = t.features / kLanes * kLanes;
  const int tail = static_cast<int>(t.features - whole);
  for (int64_t j = 0; j < t.keys; ++j) {
    const float* k = t.k + j * t.k_row;
    for (int64_t r = 0; r < t.rows; ++r) {
      const float* q = t.q + r * t.q_row;
      typename V::F sum0 = V::Zero(), sum1 = sum0;
      int64_t d = 0;
      for (; d + 2 * kLanes <= whole; d += 2 * kLanes) {
        sum0 = V::Fma(V::Load(q + d), V::Load(k + d), sum0);
        sum1 = V::Fma(V::Load(q + d + kLanes), V::Load(k + d + kLanes), sum1);
      }
      if (d < whole) sum0 = V::Fma(V::Load(q + d), V::Load(k + d), sum0);
      if (tail > 0) sum1 = V::Fma(V::LoadN(q + whole, tail), V::LoadN(k + whole, tail), sum1);
      t.scores[r * t.scores_row + j] = t.scale * V::Sum(V::Add(sum0, sum1));
    }
  }
}

// Columns [begin, begin + vectors * kLanes) of one row; `tail` lanes in the last vector.
template <class V, int vectors>
[[gnu::always_inline]] inline void WeightedColumns(const WeightedTask& t, int64_t row,
                                                   int64_t begin, int tail) {
  constexpr int kLanes = V::kLanes;
  float* out = t.out + row * t.out_row + begin;
  const float* v = t.v + begin;
  const float* weights = t.weights + row * t.weights_row;
  typename V::F sum[vectors];
#pragma GCC unroll 16
  for (int i = 0; i < vectors; ++i) {
    const int n = i == vectors - 1 ? tail : kLanes;
    sum[i] = t.accumulate ? V::LoadN(out + i * kLanes, n) : V::Zero();
  }
  for (int64_t j = 0; j < t.keys; ++j, v += t.v_row) {
    const typename V::F w = V::Set(weights[j]);
#pragma GCC unroll 16
    for (int i = 0; i < vectors - 1; ++i) sum[i] = V::Fma(w, V::Load(v + i * kLanes), sum[i]);
    const float* last = v + (vectors - 1) * kLanes;
    const typename V::F x = tail == kLanes ? V::Load(last) : V::LoadN(last, tail);
    sum[vectors - 1] = V::Fma(w, x, sum[vectors - 1]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < vectors; ++i) {
    V::StoreN(out + i * kLanes, sum[i], i == vectors - 1 ? tail : kLanes);
  }
}

template <class V>
void WeightedRows(const WeightedTask& t) {
  constexpr int kLanes = V::kLanes;
  for (int64_t r = 0; r < t.rows; ++r) {
    int64_t d = 0;
    for (; d + 4 * kLanes <= t.features; d += 4 * kLanes) WeightedColumns<V, 4>(t, r, d, kLanes);
    for (; d < t.features; d += kLanes) {
      WeightedColumns<V, 1>(t, r, d, static_cast<int>(Least(t.features - d, kLanes)));
    }
  }
}

template <class V>
void HideKeys(const KeepTask& t) {
  constexpr int kLanes = V::kLanes;
  int64_t j = 0;
  for (; j + kLanes <= t.keys; j += kLanes) {
    const auto kept = V::Less(V::Zero(), V::LoadBytes(t.keep + j));
    V::Store(t.out + j, V::Select(kept, V::Zero(), V::Set(kHidden)));
  }
  for (; j < t.keys; ++j) t.out[j] = t.keep[j] != 0 ? 0 : kHidden;
}

template <class V>
void ScaleRow(const ScaleTask& t) {
  constexpr int kLanes = V::kLanes;
  const typename V::F factor = V::Set(t.factor);
  for (int64_t j = 0; j < t.n; j += kLanes) {
    const int n = static_cast<int>(Least(t.n - j, kLanes));
    V::StoreN(t.x + j, t.factor == 0 ? V::Zero() : V::Mul(V::LoadN(t.x + j, n), factor), n);
  }
}

}  // namespace rlx::cpu
