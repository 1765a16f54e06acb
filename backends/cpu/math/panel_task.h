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
  const float* b = nullptr;  // first element of the panel in [k,n] or [n,k]
  int64_t ldb = 0;
  bool transposed = false;
  int64_t k = 0;
  int columns = 0, vectors = 0;
  float* out = nullptr;  // k x (vectors * lanes)
};

// C[rows, columns] = act(alpha A[rows,k] B + bias) + residual, or act(alpha A B + bias + residual),
// for one panel of B; pointers are to the first element that the task touches. Null: not there.
struct PanelTask {
  int64_t rows = 0, k = 0;
  const float* a = nullptr;
  int64_t lda = 0;
  const float* b = nullptr;
  const float* next_b = nullptr;  // where this thread will probably go on: fetched ahead
  int columns = 0, vectors = 0;
  float* c = nullptr;
  int64_t ldc = 0;
  bool accumulate = false;  // add to what C holds; then alpha is 1, and there is no bias
  float alpha = 1;
  const float* bias = nullptr;
  const float* row_bias = nullptr;
  Activation activation = {};
  const float* residual = nullptr;
  int64_t ld_residual = 0;
  bool residual_first = false;  // the residual is added before the activation
};

}  // namespace rlx::cpu
