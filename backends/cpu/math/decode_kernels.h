// SPDX-License-Identifier: Apache-2.0
// Unpacking quantized weights over a SIMD wrapper V. Instantiated once per ISA in
// decode_kernels_<isa>.cc; what is not a template is always inlined, so that no instance meets code
// made for another machine.
#pragma once

#include "backends/cpu/math/decode_task.h"
#include "backends/cpu/math/simd_common.h"

namespace rlx::cpu {

[[gnu::always_inline]] inline float HalfAt(const uint8_t* at) {
  uint16_t half;
  __builtin_memcpy(&half, at, sizeof half);
  const uint32_t infinite = (half & 0x7c00) == 0x7c00 ? 0x7f800000 : 0;
  const uint32_t shifted = static_cast<uint32_t>(half & 0x7fff) << 13;
  float magnitude;
  __builtin_memcpy(&magnitude, &shifted, sizeof magnitude);
  magnitude *= 0x1p112F;  // the exponents' biases differ by that much; subnormals come right too
  uint32_t bits;
  __builtin_memcpy(&bits, &magnitude, sizeof bits);
  bits |= infinite | static_cast<uint32_t>(half & 0x8000) << 16;
  __builtin_memcpy(&magnitude, &bits, sizeof bits);
  return magnitude;
}

// A form is a struct of its sizes and Decode(); the fields are drawn in tensor/decode_block.cc.
template <class V>
struct Q8_0 {
  static constexpr int kElements = 32, kBytes = 34;
  [[gnu::always_inline]] static void Decode(const uint8_t* block, float* out) {
    const typename V::F d = V::Set(HalfAt(block));
#pragma GCC unroll 8
    for (int i = 0; i < kElements; i += V::kLanes) {
      V::Store(out + i, V::Mul(d, V::LoadSigned(block + 2 + i)));
    }
  }
};

template <class V>
struct Q4_0 {
  static constexpr int kElements = 32, kBytes = 18;
  [[gnu::always_inline]] static void Decode(const uint8_t* block, float* out) {
    const typename V::F d = V::Set(HalfAt(block)), middle = V::Set(8);
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += V::kLanes) {
      const uint8_t* at = block + 2 + i;
      V::Store(out + i, V::Mul(d, V::Sub(V::template LoadField<0, 15>(at), middle)));
      V::Store(out + 16 + i, V::Mul(d, V::Sub(V::template LoadField<4, 15>(at), middle)));
    }
  }
};

template <class V>
struct Q4K {
  static constexpr int kElements = 256, kBytes = 144;

  template <int shift>
  [[gnu::always_inline]] static void SubBlock(const uint8_t* nibbles, float unit, float offset,
                                              float* out) {
    const typename V::F scale = V::Set(unit), shift_by = V::Set(-offset);
#pragma GCC unroll 8
    for (int l = 0; l < 32; l += V::kLanes) {
      V::Store(out + l, V::Fma(scale, V::template LoadField<shift, 15>(nibbles + l), shift_by));
    }
  }

  [[gnu::always_inline]] static void Decode(const uint8_t* block, float* out) {
    const float d = HalfAt(block), dmin = HalfAt(block + 2);
    const uint8_t* packed = block + 4;
    const auto unit = [&](int j) {
      const int v = j < 4 ? packed[j] & 63 : (packed[j + 4] & 15) | packed[j - 4] >> 6 << 4;
      return d * static_cast<float>(v);
    };
    const auto offset = [&](int j) {
      const int v = j < 4 ? packed[j + 4] & 63 : packed[j + 4] >> 4 | packed[j] >> 6 << 4;
      return dmin * static_cast<float>(v);
    };
#pragma GCC unroll 4
    for (int t = 0; t < 4; ++t) {
      const uint8_t* nibbles = block + 16 + 32 * t;
      SubBlock<0>(nibbles, unit(2 * t), offset(2 * t), out + 64 * t);
      SubBlock<4>(nibbles, unit(2 * t + 1), offset(2 * t + 1), out + 64 * t + 32);
    }
  }
};

template <class V>
struct Q6K {
  static constexpr int kElements = 256, kBytes = 210;

  template <int group>
  [[gnu::always_inline]] static void Group(const uint8_t* low, const uint8_t* high,
                                           const uint8_t* scales, float d, float* out) {
    const typename V::F sixteen = V::Set(16), middle = V::Set(-32);
    const uint8_t* nibbles = low + 32 * (group % 2);
#pragma GCC unroll 2
    for (int part = 0; part < 2; ++part) {
      const typename V::F scale =
          V::Set(d * static_cast<float>(static_cast<int8_t>(scales[2 * group + part])));
#pragma GCC unroll 4
      for (int l = 16 * part; l < 16 * part + 16; l += V::kLanes) {
        const typename V::F top = V::template LoadField<2 * group, 3>(high + l);
        const typename V::F bottom =
            V::Add(V::template LoadField < group<2 ? 0 : 4, 15>(nibbles + l), middle);
        V::Store(out + l, V::Mul(scale, V::Fma(top, sixteen, bottom)));
      }
    }
  }

  [[gnu::always_inline]] static void Decode(const uint8_t* block, float* out) {
    const float d = HalfAt(block + 208);
    for (int half = 0; half < 2; ++half) {
      const uint8_t *low = block + 64 * half, *high = block + 128 + 32 * half;
      const uint8_t* scales = block + 192 + 8 * half;
      Group<0>(low, high, scales, d, out + 128 * half);
      Group<1>(low, high, scales, d, out + 128 * half + 32);
      Group<2>(low, high, scales, d, out + 128 * half + 64);
      Group<3>(low, high, scales, d, out + 128 * half + 96);
    }
  }
};

template <class Form>
void DecodeAll(const DecodeTask& t) {
  for (int64_t b = 0; b < t.count; ++b) {
    Form::Decode(t.blocks + b * Form::kBytes, t.out + b * Form::kElements);
  }
}

template <class V>
void DecodeBlocks(const DecodeTask& t) {
  switch (t.form) {
    case BlockForm::kQ4_0:
      return DecodeAll<Q4_0<V>>(t);
    case BlockForm::kQ8_0:
      return DecodeAll<Q8_0<V>>(t);
    case BlockForm::kQ4K:
      return DecodeAll<Q4K<V>>(t);
    case BlockForm::kQ6K:
      return DecodeAll<Q6K<V>>(t);
  }
}

// A block is decoded into L1 and met there by the rows while the next one is on its way.
template <class V, class Form, int rows>
[[gnu::noinline]] void DotRowsOf(const DotBlocksTask& t) {
  constexpr int kChains = static_cast<int>(Least(4 / rows, Form::kElements / V::kLanes));
  alignas(64) float w[Form::kElements];
  typename V::F sum[rows][kChains];
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kChains; ++c) sum[r][c] = V::Zero();
  }
  for (int64_t b = 0; b < t.count; ++b) {
    Form::Decode(t.blocks + b * Form::kBytes, w);
    __builtin_prefetch(t.blocks + (b + 8) * Form::kBytes);
    const float* x = t.x + b * Form::kElements;
    for (int i = 0; i < Form::kElements; i += kChains * V::kLanes) {
#pragma GCC unroll 4
      for (int c = 0; c < kChains; ++c) {
        const typename V::F weights = V::Load(w + i + c * V::kLanes);
#pragma GCC unroll 4
        for (int r = 0; r < rows; ++r) {
          sum[r][c] = V::Fma(V::Load(x + r * t.ldx + i + c * V::kLanes), weights, sum[r][c]);
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r) {
    for (int c = 1; c < kChains; ++c) sum[r][0] = V::Add(sum[r][0], sum[r][c]);
    t.out[r * t.ld_out] = V::Sum(sum[r][0]);
  }
}

template <class V, class Form>
void DotForm(const DotBlocksTask& t) {
  switch (t.rows) {
    case 1:
      return DotRowsOf<V, Form, 1>(t);
    case 2:
      return DotRowsOf<V, Form, 2>(t);
    case 3:
      return DotRowsOf<V, Form, 3>(t);
    default:
      return DotRowsOf<V, Form, 4>(t);
  }
}

template <class V>
void DotBlocks(const DotBlocksTask& t) {
  switch (t.form) {
    case BlockForm::kQ4_0:
      return DotForm<V, Q4_0<V>>(t);
    case BlockForm::kQ8_0:
      return DotForm<V, Q8_0<V>>(t);
    case BlockForm::kQ4K:
      return DotForm<V, Q4K<V>>(t);
    case BlockForm::kQ6K:
      return DotForm<V, Q6K<V>>(t);
  }
}

template <class V, bool nibbles>
[[gnu::always_inline]] inline void CodesColumn(const CodesTask& t, int v) {
  constexpr int kLanes = V::kLanes, kBytes = nibbles ? kLanes / 2 : kLanes;
  const int n = static_cast<int>(Least(t.columns - v * kLanes, kLanes));
  const typename V::F scale = V::LoadN(t.scale + v * kLanes, n);
  const typename V::F zero = t.zero == nullptr ? V::Zero() : V::LoadN(t.zero + v * kLanes, n);
  const uint8_t* codes = t.codes + v * kBytes;
  const auto bytes = static_cast<unsigned>(nibbles ? (n + 1) / 2 : n);
  for (int64_t p = 0; p < t.rows; ++p) {
    const uint8_t* at = codes + p * t.ld;
    uint8_t last[kBytes] = {};
    if (n < kLanes) at = static_cast<const uint8_t*>(__builtin_memcpy(last, at, bytes));
    const typename V::F q = nibbles ? V::LoadNibbles(at) : V::LoadSigned(at);
    V::Store(t.out + (p * t.vectors + v) * kLanes, V::Mul(V::Sub(q, zero), scale));
  }
}

template <class V>
void DecodeCodes(const CodesTask& t) {
  for (int v = 0; v < t.vectors; ++v) {
    t.nibbles ? CodesColumn<V, true>(t, v) : CodesColumn<V, false>(t, v);
  }
}

}  // namespace rlx::cpu
