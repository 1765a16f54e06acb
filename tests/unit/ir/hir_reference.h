// SPDX-License-Identifier: Apache-2.0
// Blocks of HIR by definition, as plain loops over one batch element.
#pragma once

#include "runtime/ir/evaluate.h"

namespace rlx {

struct Matrix {
  int64_t rows, columns;
  std::vector<double> at;
  double& operator()(int64_t i, int64_t j) { return at[i * columns + j]; }
  double operator()(int64_t i, int64_t j) const { return at[i * columns + j]; }
};

// The decoder block with causal attention; `offset` is the first row of cos and sin.
Matrix ExpectedLlama(const TensorMap& in, int64_t batch, int64_t head_dim, int64_t offset);
// The encoder block, heads of 4.
Matrix ExpectedBert(const TensorMap& in, int64_t batch, bool mask);

}  // namespace rlx
