// SPDX-License-Identifier: Apache-2.0
// What the inner kernels of attention are told. All work on one block: some query rows by `keys`
// keys.
#pragma once

#include <cstdint>

namespace rlx::cpu {

// One row of scores becomes weights e^(score - maximum), in place; maximum and sum run on over the
// key blocks of the row. Returns what the sums so far (and the output row) must be multiplied by.
struct SoftmaxTask {
  float* scores;
  int64_t keys;
  int64_t begin, end;     // the visible ones; weights outside become 0
  float softcap;          // 0: none
  const float* additive;  // [keys] or null
  float* maximum;         // minus infinity before the first block
  float* sum;             // 0 before the first block
};

// scores[r][j] = scale q[r] . k[j] for few rows, straight from k.
struct DotTask {
  int64_t rows, keys, features;
  const float* q;
  int64_t q_row;
  const float* k;
  int64_t k_row;
  float scale;
  float* scores;
  int64_t scores_row;
};

// out[r] (+)= sum over j of weights[r][j] v[j] for few rows, straight from v.
struct WeightedTask {
  int64_t rows, keys, features;
  const float* weights;
  int64_t weights_row;
  const float* v;
  int64_t v_row;
  float* out;
  int64_t out_row;
  bool accumulate;
};

// out[j] = keep[j] ? 0 : minus infinity.
struct KeepTask {
  const uint8_t* keep;
  int64_t keys;
  float* out;
};

// x[0..n) *= factor, or = 0 where factor is 0.
struct ScaleTask {
  float* x;
  int64_t n;
  float factor;
};

}  // namespace rlx::cpu
