// SPDX-License-Identifier: Apache-2.0
// What the inner kernels of the matrix product are told. B[k,n] is held as panels of W columns
// (W = panel_width), each k rows of W floats on end:
//
//      n  ->  | panel 0 | panel 1 | ... | last |      panel p starts at float  p * W * k
//
// The last panel is as many whole vectors wide as it needs; where that would be a single vector, it
// shares with its neighbour (2 + 2 vectors, not 3 + 1), because a tile one vector wide cannot keep
// the multipliers busy. Columns past n are packed as zeros and never stored.
#pragma once

#include <cstdint>

#include "backends/cpu/math/activation.h"

namespace rlx::cpu {

// Columns [begin, begin + columns) in `vectors` whole vectors.
struct Panel {
  int64_t begin;
  int columns;
  int vectors;
};

struct PackTask {
  const float* b;  // first element of the panel in [k,n] or [n,k]
  int64_t ldb;
  bool transposed;
  int64_t k;
  int columns, vectors;
  float* out;  // k x (vectors * lanes)
};

// C[rows, columns] = act(alpha A[rows,k] B + bias) + residual for one panel of B; pointers are to
// the first element that the task touches. Null: not there.
struct PanelTask {
  int64_t rows, k;
  const float* a;
  int64_t lda;
  const float* b;
  const float* next_b;  // where this thread will probably go on: fetched ahead, never used
  int columns, vectors;
  float* c;
  int64_t ldc;
  float alpha;
  const float* bias;
  const float* row_bias;
  Activation activation;
  const float* residual;
  int64_t ld_residual;
};

}  // namespace rlx::cpu
