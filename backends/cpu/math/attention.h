// SPDX-License-Identifier: Apache-2.0
// Fused attention in fp32: out = softmax(mask(softcap(scale q k^T))) v, without the score matrix
// ever standing in memory: a block of query rows meets a block of keys at a time, with a running
// maximum and sum per row.
//
// Heads h of q read key-value head h / (heads / kv_heads): grouped queries without copies. A query
// row that no key is visible to gives zeros. Results do not depend on the number of threads.
// Nothing is allocated.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/math/kernels.h"

namespace rlx {
class Team;
}

namespace rlx::cpu {

// Element strides of a [batch, head, row, feature] tensor; features lie side by side.
struct HeadStrides {
  int64_t batch = 0, head = 0, row = 0;
};

// Element strides of a [batch, head, query, key] mask; 0 where it is broadcast.
struct MaskStrides {
  int64_t batch = 0, head = 0, query = 0, key = 0;
};

struct Attention {
  int64_t batch = 1, heads = 1, kv_heads = 1;  // kv_heads divides heads
  int64_t queries = 0, keys = 0;               // >= 1
  int64_t head_dim = 0, value_dim = 0;         // >= 1

  const float* q = nullptr;
  const float* k = nullptr;
  const float* v = nullptr;
  float* out = nullptr;  // overlaps none of the others
  HeadStrides q_strides = {}, k_strides = {}, v_strides = {}, out_strides = {};

  float scale = 1;
  float softcap = 0;  // c > 0: scores become c tanh(score / c)

  // Query i stands at position i + keys - queries (aligned at the bottom right). Causal: it sees
  // keys up to its position. window >= 0: and of those only the last window + 1.
  bool causal = false;
  int64_t window = -1;

  // At most one: keep (0 hides the key) or additive (added to the score; minus infinity hides).
  const uint8_t* keep = nullptr;
  const float* additive = nullptr;
  MaskStrides mask_strides = {};
};

// Bytes of scratch, aligned to 64, for a team of up to `threads`.
size_t AttentionScratchBytes(const MathKernels& kernels, const Attention& attention, int threads);

void Attend(const MathKernels& kernels, const Attention& attention, Team& team, void* scratch);

}  // namespace rlx::cpu
