// SPDX-License-Identifier: Apache-2.0
// The self-contained block formats, field by field in the order of the public ggml structs. Halves
// and floats are little-endian. Written for clarity: kernels unpack in their own way and are held
// to this.
#include <bit>
#include <cstring>

#include "runtime/tensor/host_tensor.h"
#include "runtime/tensor/quant_scheme.h"

namespace rlx {
namespace {

template <class T>
T Half(const uint8_t* at) {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return static_cast<T>(F16ToF32(bits));
}

// d, 16 bytes: low nibbles are elements 0 … 15, high ones 16 … 31. d·(q - 8).
template <class T>
void Q4_0(const uint8_t* block, T* out) {
  const T d = Half<T>(block);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<T>((block[2 + i] & 15) - 8);
    out[16 + i] = d * static_cast<T>((block[2 + i] >> 4) - 8);
  }
}

// d, 32 signed bytes. d·q.
template <class T>
void Q8_0(const uint8_t* block, T* out) {
  const T d = Half<T>(block);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<T>(static_cast<int8_t>(block[2 + i]));
}

// 16 bytes of (scale, min) nibbles, 64 bytes of 2-bit quants, d, dmin. Sub-blocks of 16:
// d·scale·q - dmin·min. Quants: two halves of 128; in a half, 32 bytes hold four groups of 32.
template <class T>
void Q2K(const uint8_t* block, T* out) {
  const uint8_t *scales = block, *quants = block + 16;
  const T d = Half<T>(block + 80), dmin = Half<T>(block + 82);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128, group = i % 128 / 32, byte = i % 32;
    const int q = quants[32 * half + byte] >> (2 * group) & 3;
    const uint8_t scale = scales[i / 16];
    out[i] = d * static_cast<T>(scale & 15) * static_cast<T>(q) - dmin * static_cast<T>(scale >> 4);
  }
}

// 32 bytes of high bits, 64 bytes of 2-bit quants, 12 bytes of sixteen 6-bit scales, d. Sub-blocks
// of 16: d·(scale - 32)·(q - 4 unless the high bit is set). Scale j: low nibble j%8 of byte
// (j < 8: low, else high half), two high bits at 2·(j/4) of byte 8 + j%4.
template <class T>
void Q3K(const uint8_t* block, T* out) {
  const uint8_t *high = block, *quants = block + 32, *packed = block + 96;
  const T d = Half<T>(block + 108);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128, group = i % 128 / 32, byte = i % 32, j = i / 16;
    const int low4 = packed[j % 8] >> (j < 8 ? 0 : 4) & 15;
    const int scale = low4 | (packed[8 + j % 4] >> (2 * (j / 4)) & 3) << 4;
    const int bit = high[byte] >> (4 * half + group) & 1;
    const int q = (quants[32 * half + byte] >> (2 * group) & 3) - (bit != 0 ? 0 : 4);
    out[i] = d * static_cast<T>(scale - 32) * static_cast<T>(q);
  }
}

// Eight 6-bit (scale, min) pairs in 12 bytes, as Q4_K and Q5_K have them.
struct ScaleMin {
  int scale, min;
};
ScaleMin Unpack6(const uint8_t* packed, int j) {
  if (j < 4) return {packed[j] & 63, packed[j + 4] & 63};
  return {(packed[j + 4] & 15) | packed[j - 4] >> 6 << 4, packed[j + 4] >> 4 | packed[j] >> 6 << 4};
}

// d, dmin, 12 bytes of scales and mins, [32 bytes of fifth bits,] 128 bytes of nibbles. Sub-blocks
// of 32: d·scale·q - dmin·min. 32 bytes hold sub-block 2t in their low and 2t+1 in their high
// nibbles; bit j of fifth-bit byte l belongs to element l of sub-block j.
template <class T>
void Q45K(const uint8_t* block, const uint8_t* fifth, const uint8_t* nibbles, T* out) {
  const T d = Half<T>(block), dmin = Half<T>(block + 2);
  for (int j = 0; j < 8; ++j) {
    const auto [scale, min] = Unpack6(block + 4, j);
    const T unit = d * static_cast<T>(scale), offset = dmin * static_cast<T>(min);
    for (int l = 0; l < 32; ++l) {
      int q = nibbles[32 * (j / 2) + l] >> (j % 2 == 0 ? 0 : 4) & 15;
      if (fifth != nullptr) q += (fifth[l] >> j & 1) << 4;
      out[32 * j + l] = unit * static_cast<T>(q) - offset;
    }
  }
}

// 128 bytes of low nibbles, 64 bytes of 2-bit highs, 16 signed scales, d. Two halves of 128; in a
// half, group g of 32 has its low nibbles in bytes 32·(g%2) + l (g < 2: low, else high), its highs
// at bit 2g of byte l, and a scale for each 16. d·scale·(q - 32).
template <class T>
void Q6K(const uint8_t* block, T* out) {
  const T d = Half<T>(block + 208);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128, group = i % 128 / 32, l = i % 32;
    const int low = block[64 * half + 32 * (group % 2) + l] >> (group < 2 ? 0 : 4) & 15;
    const int high = block[128 + 32 * half + l] >> (2 * group) & 3;
    const auto scale = static_cast<int8_t>(block[192 + i / 16]);
    out[i] = d * static_cast<T>(scale) * static_cast<T>((low | high << 4) - 32);
  }
}

// d (a float), 256 signed bytes, 16 sums that only integer products need. d·q.
template <class T>
void Q8K(const uint8_t* block, T* out) {
  float d;
  std::memcpy(&d, block, sizeof d);
  for (int i = 0; i < 256; ++i) {
    out[i] = static_cast<T>(d) * static_cast<T>(static_cast<int8_t>(block[4 + i]));
  }
}

}  // namespace

template <class T>
void DecodeBlock(QuantScheme scheme, const uint8_t* block, T* out) {
  switch (scheme) {
    case QuantScheme::kQ4_0:
      return Q4_0(block, out);
    case QuantScheme::kQ8_0:
      return Q8_0(block, out);
    case QuantScheme::kQ2K:
      return Q2K(block, out);
    case QuantScheme::kQ3K:
      return Q3K(block, out);
    case QuantScheme::kQ4K:
      return Q45K(block, static_cast<const uint8_t*>(nullptr), block + 16, out);
    case QuantScheme::kQ5K:
      return Q45K(block, block + 16, block + 48, out);
    case QuantScheme::kQ6K:
      return Q6K(block, out);
    case QuantScheme::kQ8K:
      return Q8K(block, out);
    default:
      return;  // scales live in tensors of their own
  }
}

template void DecodeBlock(QuantScheme, const uint8_t*, float*);
template void DecodeBlock(QuantScheme, const uint8_t*, double*);

}  // namespace rlx
