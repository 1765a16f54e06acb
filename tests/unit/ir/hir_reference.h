// SPDX-License-Identifier: Apache-2.0
// Blocks of HIR by definition, as plain loops over one batch element.
#pragma once

#include <functional>

#include "runtime/ir/evaluate.h"

namespace rlx {

struct Matrix {
  int64_t rows, columns;
  std::vector<double> at;
  double& operator()(int64_t i, int64_t j) { return at[i * columns + j]; }
  double operator()(int64_t i, int64_t j) const { return at[i * columns + j]; }
};

// A tensor of rank 1 or 2, and one batch element of a tensor of rank 3.
Matrix Load(const TensorMap& inputs, const std::string& name);
Matrix Slice(const HostTensor& x, int64_t batch);
Matrix operator*(const Matrix& a, const Matrix& b);
Matrix operator+(Matrix a, const Matrix& b);  // b one row or as many as a
// Columns [first, first + count), and rows alike.
Matrix Columns(const Matrix& x, int64_t first, int64_t count);
Matrix Rows(const Matrix& x, int64_t first, int64_t count);
Matrix Below(Matrix above, const Matrix& below);  // rows of one, then of the other
Matrix Beside(const Matrix& left, const Matrix& right);

// Layer norm without beta, or rms norm.
Matrix Norm(Matrix x, const Matrix& gamma, double eps, bool centred);
Matrix Rotate(Matrix x, int64_t head_dim, const Matrix& cos, const Matrix& sin, int64_t offset);
Matrix Attend(const Matrix& q, const Matrix& k, const Matrix& v, int64_t head_dim,
              const std::function<bool(int64_t, int64_t)>& sees);
Matrix Gated(Matrix up, const Matrix& gate);  // up·silu(gate)

// The decoder block with causal attention; `offset` is the first row of cos and sin.
Matrix ExpectedLlama(const TensorMap& in, int64_t batch, int64_t head_dim, int64_t offset);
// The encoder block, heads of 4.
Matrix ExpectedBert(const TensorMap& in, int64_t batch, bool mask);

}  // namespace rlx
