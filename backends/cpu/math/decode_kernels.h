// SPDX-License-Identifier: Apache-2.0
// Blocks of quantized weights over a SIMD wrapper V: unpacked, or multiplied with a few rows as
// they are unpacked. Instantiated once per ISA in decode_kernels_<isa>.cc.
#pragma once

#include "backends/cpu/math/decode_forms.h"

namespace rlx::cpu {

// run.operator()<Form>() for the form that is asked for.
template <class V, class Run>
[[gnu::always_inline]] inline void WithForm(BlockForm form, const Run& run) {
  switch (form) {
    case BlockForm::kQ4_0:
      return run.template operator()<Q4_0<V>>();
    case BlockForm::kQ8_0:
      return run.template operator()<Q8_0<V>>();
    case BlockForm::kQ2K:
      return run.template operator()<Q2K<V>>();
    case BlockForm::kQ3K:
      return run.template operator()<Q3K<V>>();
    case BlockForm::kQ4K:
      return run.template operator()<Q45K<V, false>>();
    case BlockForm::kQ5K:
      return run.template operator()<Q45K<V, true>>();
    case BlockForm::kQ6K:
      return run.template operator()<Q6K<V>>();
    case BlockForm::kQ8K:
      return run.template operator()<Q8K<V>>();
  }
}

template <class V, class Form>
[[gnu::noinline]] void DecodeAll(const DecodeTask& t) {
  for (int64_t b = 0; b < t.count; ++b) {
    float* out = t.out + b * Form::kElements;
    Form::Each(t.blocks + b * Form::kBytes,
               [out](int i, typename V::F w)
                   __attribute__((always_inline)) { V::Store(out + i, w); });
  }
}

template <class V>
void DecodeBlocks(const DecodeTask& t) {
  WithForm<V>(t.form, [&t]<class Form>() { DecodeAll<V, Form>(t); });
}

// Weights go from their bytes to the sums in registers.
template <class V, class Form, int rows>
[[gnu::noinline]] void DotRowsOf(const DotBlocksTask& t) {
  // Enough sums that none waits for its last addition. Each() steps in pairs of vectors at least.
  constexpr int kChains = rows <= 4 && Form::kElements >= 2 * V::kLanes ? 2 : 1;
  typename V::F sum[rows][kChains];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
    for (int c = 0; c < kChains; ++c) sum[r][c] = V::Zero();
  }
  for (int64_t b = 0; b < t.count; ++b) {
    const uint8_t* block = t.blocks + b * Form::kBytes;
#pragma GCC unroll 5
    for (int at = 0; at < Form::kBytes; at += 64) __builtin_prefetch(block + t.ahead + at);
    const float* x = t.x + b * Form::kElements;
    const int64_t ldx = t.ldx;
    Form::Each(block, [&sum, x, ldx](int i, typename V::F w) __attribute__((always_inline)) {
      const int c = i / V::kLanes % kChains;
#pragma GCC unroll 8
      for (int r = 0; r < rows; ++r) sum[r][c] = V::Fma(V::Load(x + r * ldx + i), w, sum[r][c]);
    });
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
    if constexpr (kChains == 2) sum[r][0] = V::Add(sum[r][0], sum[r][1]);
    t.out[r * t.ld_out] += V::Sum(sum[r][0]);
  }
}

template <class V>
void DotBlocks(const DotBlocksTask& task) {
  DotBlocksTask t = task;
  const auto run = [&t]<class Form>() {
    const auto some = [&t]<int rows>() {
      for (; t.rows >= rows; t.rows -= rows) {
        DotRowsOf<V, Form, rows>(t);
        t.x += rows * t.ldx;
        t.out += rows * t.ld_out;
      }
    };
    some.template operator()<8>();
    some.template operator()<4>();
    some.template operator()<2>();
    some.template operator()<1>();
  };
  WithForm<V>(t.form, run);
}

}  // namespace rlx::cpu
