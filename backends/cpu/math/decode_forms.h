// SPDX-License-Identifier: Apache-2.0
// How each self-contained block is unpacked over a SIMD wrapper V. A form is a struct of its sizes
// and Each(block, use), which calls use(i, w) for every vector w of elements i … i + V::kLanes - 1:
// a product takes them from registers, a decoder stores them. The fields are drawn in
// runtime/tensor/decode_block.cc.
//
// Everything is a template over V or always inlined, so that no instance meets code made for
// another machine.
#pragma once

#include "backends/cpu/math/decode_task.h"
#include "backends/cpu/math/simd_common.h"

namespace rlx::cpu {

template <class V>
struct Q8_0 {
  static constexpr int kElements = 32, kBytes = 34;
  template <class Use>
  [[gnu::always_inline]] static void Each(const uint8_t* block, const Use& use) {
    const typename V::F d = V::SetHalf(block);
#pragma GCC unroll 8
    for (int i = 0; i < kElements; i += V::kLanes) {
      use(i, V::Mul(d, V::LoadSigned(block + 2 + i)));
    }
  }
};

template <class V>
struct Q4_0 {
  static constexpr int kElements = 32, kBytes = 18;
  template <class Use>
  [[gnu::always_inline]] static void Each(const uint8_t* block, const Use& use) {
    const typename V::F d = V::SetHalf(block), middle = V::Set(8);
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += V::kLanes) {
      use(i, V::Mul(d, V::Sub(V::template LoadField<0, 15>(block + 2 + i), middle)));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += V::kLanes) {
      use(16 + i, V::Mul(d, V::Sub(V::template LoadField<4, 15>(block + 2 + i), middle)));
    }
  }
};

// Sixteen small numbers as floats, for scales that sub-blocks pick one by one.
template <class V>
struct Sixteen {
  alignas(64) float at[16];
  template <class Load>
  [[gnu::always_inline]] Sixteen(const uint8_t* bytes, const Load& load) {
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += V::kLanes) V::Store(at + i, load(bytes + i));
  }
};

// The eight 6-bit scales, then the eight 6-bit mins, of Q4_K and Q5_K: a byte each.
[[gnu::always_inline]] inline void Unpack6(const uint8_t* packed, uint8_t out[16]) {
  uint32_t a, b, c;
  __builtin_memcpy(&a, packed, 4);
  __builtin_memcpy(&b, packed + 4, 4);
  __builtin_memcpy(&c, packed + 8, 4);
  const uint32_t words[4] = {a & 0x3f3f3f3f, (c & 0x0f0f0f0f) | (a >> 6 & 0x03030303) << 4,
                             b & 0x3f3f3f3f, (c >> 4 & 0x0f0f0f0f) | (b >> 6 & 0x03030303) << 4};
  __builtin_memcpy(out, words, 16);
}

// Q4_K, and Q5_K with a fifth bit of each element.
template <class V, bool fifth>
struct Q45K {
  static constexpr int kElements = 256, kBytes = fifth ? 176 : 144;
  static constexpr int kQuants = fifth ? 48 : 16;

  template <int j, class Use>
  [[gnu::always_inline]] static void SubBlock(const uint8_t* block, typename V::F unit,
                                              typename V::F offset, const Use& use) {
    const uint8_t* nibbles = block + kQuants + 32 * (j / 2);
#pragma GCC unroll 8
    for (int l = 0; l < 32; l += V::kLanes) {
      typename V::F q = V::template LoadField<j % 2 * 4, 15>(nibbles + l);
      if constexpr (fifth) {
        q = V::Fma(V::template LoadField<j, 1>(block + 16 + l), V::Set(16), q);
      }
      use(32 * j + l, V::Fma(unit, q, offset));
    }
  }

  template <class Use>
  [[gnu::always_inline]] static void Each(const uint8_t* block, const Use& use) {
    const typename V::F d = V::SetHalf(block);
    const typename V::F dmin = V::Sub(V::Zero(), V::SetHalf(block + 2));
    alignas(16) uint8_t small[16];
    Unpack6(block + 4, small);
    const Sixteen<V> scales(
        small, [](const uint8_t* p) __attribute__((always_inline)) { return V::LoadBytes(p); });
    const auto unit = [&](int j) __attribute__((always_inline)) {
      return V::Mul(d, V::Set(scales.at[j]));
    };
    const auto offset = [&](int j) __attribute__((always_inline)) {
      return V::Mul(dmin, V::Set(scales.at[8 + j]));
    };
    SubBlock<0>(block, unit(0), offset(0), use);
    SubBlock<1>(block, unit(1), offset(1), use);
    SubBlock<2>(block, unit(2), offset(2), use);
    SubBlock<3>(block, unit(3), offset(3), use);
    SubBlock<4>(block, unit(4), offset(4), use);
    SubBlock<5>(block, unit(5), offset(5), use);
    SubBlock<6>(block, unit(6), offset(6), use);
    SubBlock<7>(block, unit(7), offset(7), use);
  }
};

template <class V>
struct Q6K {
  static constexpr int kElements = 256, kBytes = 210;

  template <int group, class Use>
  [[gnu::always_inline]] static void Group(const uint8_t* block, int half, typename V::F d,
                                           const float* scales, const Use& use) {
    const uint8_t* nibbles = block + 64 * half + 32 * (group % 2);
    const uint8_t* high = block + 128 + 32 * half;
    const typename V::F sixteen = V::Set(16), middle = V::Set(-32);
#pragma GCC unroll 2
    for (int part = 0; part < 2; ++part) {
      const typename V::F scale = V::Mul(d, V::Set(scales[8 * half + 2 * group + part]));
#pragma GCC unroll 4
      for (int l = 16 * part; l < 16 * part + 16; l += V::kLanes) {
        const typename V::F top = V::template LoadField<2 * group, 3>(high + l);
        const typename V::F bottom =
            V::Add(V::template LoadField < group<2 ? 0 : 4, 15>(nibbles + l), middle);
        use(128 * half + 32 * group + l, V::Mul(scale, V::Fma(top, sixteen, bottom)));
      }
    }
  }

  template <class Use>
  [[gnu::always_inline]] static void Each(const uint8_t* block, const Use& use) {
    const typename V::F d = V::SetHalf(block + 208);
    const Sixteen<V> scales(block + 192, [](const uint8_t* p) __attribute__((always_inline)) {
      return V::LoadSigned(p);
    });
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      Group<0>(block, half, d, scales.at, use);
      Group<1>(block, half, d, scales.at, use);
      Group<2>(block, half, d, scales.at, use);
      Group<3>(block, half, d, scales.at, use);
    }
  }
};

template <class V>
struct Q8K {
  static constexpr int kElements = 256, kBytes = 292;
  template <class Use>
  [[gnu::always_inline]] static void Each(const uint8_t* block, const Use& use) {
    float unit;
    __builtin_memcpy(&unit, block, sizeof unit);
    const typename V::F d = V::Set(unit);
#pragma GCC unroll 4
    for (int at = 0; at < kElements; at += 64) {
#pragma GCC unroll 16
      for (int i = 0; i < 64; i += V::kLanes) {
        use(at + i, V::Mul(d, V::LoadSigned(block + 4 + at + i)));
      }
    }
  }
};

// Sub-blocks of 16, each with a scale and a min of four bits.
template <class V>
struct Q2K {
  static constexpr int kElements = 256, kBytes = 84;

  template <int group, class Use>
  [[gnu::always_inline]] static void Group(const uint8_t* block, int half, typename V::F d,
                                           typename V::F dmin, const float* scales,
                                           const float* mins, const Use& use) {
    const uint8_t* quants = block + 16 + 32 * half;
#pragma GCC unroll 2
    for (int part = 0; part < 2; ++part) {
      const int j = 8 * half + 2 * group + part;
      const typename V::F unit = V::Mul(d, V::Set(scales[j]));
      const typename V::F offset = V::Mul(dmin, V::Set(mins[j]));
#pragma GCC unroll 4
      for (int l = 16 * part; l < 16 * part + 16; l += V::kLanes) {
        const typename V::F q = V::template LoadField<2 * group, 3>(quants + l);
        use(128 * half + 32 * group + l, V::Fma(unit, q, offset));
      }
    }
  }

  template <class Use>
  [[gnu::always_inline]] static void Each(const uint8_t* block, const Use& use) {
    const typename V::F d = V::SetHalf(block + 80);
    const typename V::F dmin = V::Sub(V::Zero(), V::SetHalf(block + 82));
    const Sixteen<V> scales(block, [](const uint8_t* p) __attribute__((always_inline)) {
      return V::template LoadField<0, 15>(p);
    });
    const Sixteen<V> mins(block, [](const uint8_t* p) __attribute__((always_inline)) {
      return V::template LoadField<4, 15>(p);
    });
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      Group<0>(block, half, d, dmin, scales.at, mins.at, use);
      Group<1>(block, half, d, dmin, scales.at, mins.at, use);
      Group<2>(block, half, d, dmin, scales.at, mins.at, use);
      Group<3>(block, half, d, dmin, scales.at, mins.at, use);
    }
  }
};

// Sub-blocks of 16; an element is three bits less four, a scale six bits less 32.
template <class V>
struct Q3K {
  static constexpr int kElements = 256, kBytes = 110;

  [[gnu::always_inline]] static void UnpackScales(const uint8_t* packed, uint8_t out[16]) {
    uint32_t a, b, c;
    __builtin_memcpy(&a, packed, 4);
    __builtin_memcpy(&b, packed + 4, 4);
    __builtin_memcpy(&c, packed + 8, 4);
    constexpr uint32_t kLow = 0x0f0f0f0f, kTop = 0x03030303;
    const uint32_t words[4] = {(a & kLow) | (c & kTop) << 4, (b & kLow) | (c >> 2 & kTop) << 4,
                               (a >> 4 & kLow) | (c >> 4 & kTop) << 4,
                               (b >> 4 & kLow) | (c >> 6 & kTop) << 4};
    __builtin_memcpy(out, words, 16);
  }

  template <int bit, class Use>
  [[gnu::always_inline]] static void Group(const uint8_t* block, typename V::F d,
                                           const float* scales, const Use& use) {
    constexpr int half = bit / 4, group = bit % 4;
    const uint8_t* quants = block + 32 + 32 * half;
    const typename V::F four = V::Set(4);
#pragma GCC unroll 2
    for (int part = 0; part < 2; ++part) {
      const typename V::F scale = V::Mul(d, V::Sub(V::Set(scales[2 * bit + part]), V::Set(32)));
#pragma GCC unroll 4
      for (int l = 16 * part; l < 16 * part + 16; l += V::kLanes) {
        const typename V::F low = V::template LoadField<2 * group, 3>(quants + l);
        const typename V::F high = V::template LoadField<bit, 1>(block + l);
        use(32 * bit + l, V::Mul(scale, V::Sub(V::Fma(high, four, low), four)));
      }
    }
  }

  template <class Use>
  [[gnu::always_inline]] static void Each(const uint8_t* block, const Use& use) {
    const typename V::F d = V::SetHalf(block + 108);
    alignas(16) uint8_t small[16];
    UnpackScales(block + 96, small);
    const Sixteen<V> scales(
        small, [](const uint8_t* p) __attribute__((always_inline)) { return V::LoadBytes(p); });
    Group<0>(block, d, scales.at, use);
    Group<1>(block, d, scales.at, use);
    Group<2>(block, d, scales.at, use);
    Group<3>(block, d, scales.at, use);
    Group<4>(block, d, scales.at, use);
    Group<5>(block, d, scales.at, use);
    Group<6>(block, d, scales.at, use);
    Group<7>(block, d, scales.at, use);
  }
};

}  // namespace rlx::cpu
