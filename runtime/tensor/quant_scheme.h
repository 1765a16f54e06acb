// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace rlx {

// How packed weights W [k,n] (x·W sums over k) are stored. There is no quantized dtype: the bytes
// are ordinary tensors, and the op that reads them names the scheme.
enum class QuantScheme : uint8_t {
  kInt8,      // i8 [k,n], one scale for `block` rows: q·s
  kInt8Asym,  // the same with zero points: (q - z)·s
  kInt4,      // u8 [k,n/2], element (p,j) in byte (p,j/2), even j low: (q - z)·s, q in 0 … 15
  kFp8E4M3,   // u8 [k,n], one scale a column: e4m3(q)·s
  kFp8E5M2,   // u8 [k,n], one scale a column: e5m2(q)·s
  kNvfp4,     // u8 [k,n/2] as int4, 16 rows share an E4M3 byte: e2m1(q)·e4m3(s)·global
  // Blocks along k in public ggml order: u8 [n, k/elements·bytes], a row for each column of W.
  kQ4_0,
  kQ8_0,
  kQ2K,
  kQ3K,
  kQ4K,
  kQ5K,
  kQ6K,
  kQ8K,
};
inline constexpr int kQuantSchemeCount = 14;

struct QuantSchemeInfo {
  QuantScheme scheme;
  std::string_view name;  // in text and on the wire: "int8", "gguf_q4_k"
  int block_elements;     // along k, that share a scale; 0: the attribute `block`, or all
  int block_bytes;        // of a self-contained block; 0 where scales are tensors of their own
  int bits_x10;           // stored bits per weight, times ten, scales in blocks included
  constexpr bool is_block() const { return block_bytes > 0; }
};

inline constexpr QuantSchemeInfo kQuantSchemes[kQuantSchemeCount] = {
    {QuantScheme::kInt8, "int8", 0, 0, 80},         {QuantScheme::kInt8Asym, "int8a", 0, 0, 80},
    {QuantScheme::kInt4, "int4", 0, 0, 40},         {QuantScheme::kFp8E4M3, "fp8e4m3", 0, 0, 80},
    {QuantScheme::kFp8E5M2, "fp8e5m2", 0, 0, 80},   {QuantScheme::kNvfp4, "nvfp4", 16, 0, 40},
    {QuantScheme::kQ4_0, "gguf_q4_0", 32, 18, 45},  {QuantScheme::kQ8_0, "gguf_q8_0", 32, 34, 85},
    {QuantScheme::kQ2K, "gguf_q2_k", 256, 84, 26},  {QuantScheme::kQ3K, "gguf_q3_k", 256, 110, 34},
    {QuantScheme::kQ4K, "gguf_q4_k", 256, 144, 45}, {QuantScheme::kQ5K, "gguf_q5_k", 256, 176, 55},
    {QuantScheme::kQ6K, "gguf_q6_k", 256, 210, 66}, {QuantScheme::kQ8K, "gguf_q8_k", 256, 292, 91},
};

inline const QuantSchemeInfo& Info(QuantScheme scheme) {
  return kQuantSchemes[static_cast<int>(scheme)];
}
std::optional<QuantScheme> ParseQuantScheme(std::string_view name);

// Decodes one self-contained block of Info(scheme).block_bytes into block_elements values. T is
// float or double: products of a block's parts are exact in either, sums round once.
template <class T>
void DecodeBlock(QuantScheme scheme, const uint8_t* block, T* out);

// 0, ½, 1, 1½, 2, 3, 4, 6, and their negatives from 8 on.
float Fp4E2M1ToF32(uint8_t nibble);
// The scale byte of NVFP4: E4M3, NaN taken for 0.
float Nvfp4ScaleToF32(uint8_t bits);

}  // namespace rlx
