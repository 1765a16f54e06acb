// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/tensor/dtype.h"

namespace rlx::cuda {

// y = activation(x · w + bias) + residual in f16 or bf16, sums in f32, by one kernel for sm_90: a
// workgroup makes a tile of `groups` times 64 rows by `columns`, one warp of it fetches, a
// warpgroup for each 64 rows multiplies. Of the buffers x, w, those of bias and residual that there
// are, y: x has rows of k features, x_row elements apart; w is k by n, w_row apart; the others are
// dense.
struct TileShape {
  DType dtype = DType::kF16;
  int64_t m = 1, n = 32, k = 64;   // n a multiple of 32
  int64_t x_row = 64, w_row = 32;  // multiples of 8
  std::string_view activation = "none";
  bool bias = false, residual = false;
  bool fixed = false;  // no step writes w and bias: they are fetched before what comes before ends

  int groups = 1;    // 1 or 2
  int columns = 32;  // a multiple of 32, at most 256
  int stages = 2;    // tiles of 64 features of k that are on their way at once
  int split = 1;     // workgroups that share k, which are a cluster: 1, 2 or 4, with one group

  static constexpr int kDepth = 64;
  static constexpr int kProcessors = 132;  // of the parts that this is for
  static constexpr int kOutPitch = 144;    // bytes of a row of 64 on its way out
  int Lanes() const { return 128 * groups + 32; }
  int Strip() const;  // columns of w that lie together in shared memory
  int64_t Tiles() const;
  // Whether each workgroup makes one tile. Else each makes several, the next being fetched while
  // one is finished.
  bool OneRound() const { return groups == 1 || Tiles() <= kProcessors; }
  // Whether the launch after it may begin while it runs: a large one would crowd on the processors
  // that this one leaves free.
  bool LetsFollow() const { return groups == 1; }
  int64_t SharedBytes() const;
  int64_t Groups() const;
};

// How a product of m by n over k is best cut, with or without an activation that cuBLASLt leaves to
// a kernel of its own; none where cuBLASLt is faster or nobody has measured.
std::optional<TileShape> ChooseTile(int64_t m, int64_t n, int64_t k, bool activation);

std::string TileSource(const TileShape& shape);

}  // namespace rlx::cuda
