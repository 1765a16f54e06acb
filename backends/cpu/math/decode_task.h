// SPDX-License-Identifier: Apache-2.0
// What the kernels that unpack quantized weights are told. The formats are those of
// runtime/tensor/quant_scheme.h.
#pragma once

#include <cstdint>

namespace rlx::cpu {

// Self-contained blocks that kernels unpack with vectors; the other schemes go through
// DecodeBlock().
enum class BlockForm : uint8_t { kQ4_0, kQ8_0, kQ4K, kQ6K };

// `count` blocks on end become as many times their elements.
struct DecodeTask {
  BlockForm form;
  const uint8_t* blocks;
  int64_t count;
  float* out;
};

// out[r] = x[r] . W for up to kMostDotRows rows of x and one row of `count` blocks. Four sums per
// lane, added at the end: not the order of the matrix product.
inline constexpr int64_t kMostDotRows = 4;
struct DotBlocksTask {
  BlockForm form;
  const uint8_t* blocks;
  int64_t count;
  int64_t rows;
  const float* x;
  int64_t ldx;
  float* out;
  int64_t ld_out;
};

// `rows` rows of codes with one scale and zero point a column: out[p][j] = (q[p][j] - zero[j])
// scale[j] in `vectors` whole vectors, zeros past `columns`. Codes are signed bytes, or nibbles
// with an even column in the low one.
struct CodesTask {
  const uint8_t* codes;
  int64_t ld;  // bytes from row to row
  bool nibbles;
  int64_t rows;
  int columns, vectors;
  const float* scale;
  const float* zero;  // null: 0
  float* out;
};

}  // namespace rlx::cpu
