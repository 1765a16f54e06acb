// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "runtime/tensor/dtype.h"

namespace rlx::cuda {

// An attention of f16 or bf16 with everything known about it but where its tensors lie. Strides are
// of elements; features of a head are neighbours.
struct AttentionShape {
  enum class Mask { kNone, kKeep, kBias };
  struct Strides {
    int64_t batch = 0, head = 0, row = 0;
  };
  struct MaskStrides {
    int64_t batch = 0, head = 0, query = 0, key = 0;
  };

  DType dtype = DType::kF16;
  int64_t batch = 1, heads = 1, kv_heads = 1, queries = 1, keys = 1;
  int64_t head_dim = 64, value_dim = 64;  // at most kMostHeadDim
  Strides q, k, v, out;
  Mask mask = Mask::kNone;
  MaskStrides mask_strides;
  bool causal = false;  // the last rows align
  int64_t window = -1;  // with causal: keys before its own that a query sees; -1: all
  double scale = 1, softcap = 0;

  static constexpr int64_t kMostHeadDim = 128;
  // Subgroups of a workgroup; each takes 16 queries.
  int Warps() const;
  int64_t Groups() const;
};

// CUDA C++ for sm_80 and later: a kernel of 32 * Warps() lanes under the name $k, over the buffers
// q, k, v, the mask if there is one, and out. Scores never leave registers: a workgroup goes over
// the keys in tiles and keeps the maximum, the sum and the weighted values of its queries.
std::string AttentionSource(const AttentionShape& shape);

}  // namespace rlx::cuda
