// SPDX-License-Identifier: Apache-2.0
// What the kernels that unpack quantized weights are told. The formats are those of
// runtime/tensor/quant_scheme.h.
#pragma once

#include <cstdint>

namespace rlx::cpu {

// The self-contained blocks.
enum class BlockForm : uint8_t { kQ4_0, kQ8_0, kQ2K, kQ3K, kQ4K, kQ5K, kQ6K, kQ8K };

// `count` blocks on end become as many times their elements.
struct DecodeTask {
  BlockForm form;
  const uint8_t* blocks;
  int64_t count;
  float* out;
};

// out[r] += x[r] . W for `rows` rows of x, 1 to kMostDotRows, and one row of `count` blocks. Sums
// are kept a lane each, in chains whose number depends on `rows` alone, and added at the end: not
// the order of the matrix product.
inline constexpr int64_t kMostDotRows = 8;
struct DotBlocksTask {
  BlockForm form;
  const uint8_t* blocks;
  int64_t count;
  int64_t ahead;  // what is that many bytes past a block is fetched when the block is met
  int64_t rows;
  const float* x;
  int64_t ldx;
  float* out;
  int64_t ld_out;
};

// out[r][j] += Σ_p x[r][p] (q[p][j] - zero[j]) scale[j] for `rows` rows of x, 1 to kMostDotRows,
// over `depth` rows of codes with one scale and zero point a column. Eight terms are summed at a
// time, then scaled. Codes are signed bytes, or nibbles with an even column in the low one.
struct SumCodesTask {
  const uint8_t* codes;
  int64_t ld;  // bytes from row to row
  bool nibbles;
  int64_t depth, columns, rows;
  const float* x;
  int64_t ldx;
  const float* scale;
  const float* zero;  // null: 0
  float* out;
  int64_t ld_out;
};

// `rows` rows of codes with one scale and zero point a column: out[p][j] = (q[p][j] - zero[j])
// scale[j] in `vectors` whole vectors, zeros past `columns`.
struct CodesTask {
  const uint8_t* codes;
  const uint8_t* ahead;  // as many rows of codes that are fetched into L2 meanwhile
  int64_t ld;            // bytes from row to row
  bool nibbles;
  int64_t rows;
  int columns, vectors;
  const float* scale;
  const float* zero;  // null: 0
  float* out;
};

}  // namespace rlx::cpu
