// SPDX-License-Identifier: Apache-2.0
// fp32 matrix products: C[m,n] = act(alpha A[m,k] B[k,n] + bias) + residual.
//
// B is packed once into panels of a few columns (weights: when they are bound; activations: in the
// call's scratch). How it is packed depends on the ISA alone, never on m. The order of additions in
// an element of C depends on k and the ISA alone, so results do not depend on threads, nor on m.
//
// All pointers are to fp32 unless said otherwise; strides and leading dimensions count elements,
// and may be larger than a row. Nothing is allocated; scratch comes from the caller, aligned to 64
// bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/math/activation.h"
#include "backends/cpu/math/kernels.h"

namespace rlx {
class Team;
}

namespace rlx::cpu {

// What happens to the product before it is stored. Null pointers mean "not there".
struct Epilogue {
  float alpha = 1;
  const float* bias = nullptr;      // [n], one per column
  const float* row_bias = nullptr;  // [m], one per row
  Activation activation = {};
  const float* residual = nullptr;  // [m,n], added last,
  int64_t ld_residual = 0;
  bool residual_first = false;  // or before the activation
};

// --- B packed beforehand
// ---------------------------------------------------------------------------

// Number of floats in the packed form of B[k,n]; align its memory to 64 bytes.
int64_t PackedSize(const MathKernels& kernels, int64_t k, int64_t n);

// Packs B given as rows [k,n] (transposed = false) or as [n,k] (true) with leading dimension ldb.
void PackB(const MathKernels& kernels, int64_t k, int64_t n, const float* b, int64_t ldb,
           bool transposed, float* packed, Team& team);

struct PackedGemm {
  int64_t m = 0, n = 0, k = 0;
  const float* a = nullptr;
  int64_t lda = 0;
  const float* b = nullptr;  // as PackB made it with the same kernels
  float* c = nullptr;
  int64_t ldc = 0;
  Epilogue epilogue = {};
};

// C must not overlap A, B or the residual: it holds raw sums on the way. m, n, k >= 1.
void Gemm(const MathKernels& kernels, const PackedGemm& gemm, Team& team);

// --- Both sides activations
// ------------------------------------------------------------------------

// `batch` products; element strides between them, 0 where one side is shared by all.
struct BatchedGemm {
  int64_t batch = 1;
  int64_t m = 0, n = 0, k = 0;
  const float* a = nullptr;  // [m,k]
  int64_t lda = 0, stride_a = 0;
  const float* b = nullptr;  // [k,n], or [n,k] where b_transposed
  int64_t ldb = 0, stride_b = 0;
  bool b_transposed = false;
  float* c = nullptr;
  int64_t ldc = 0, stride_c = 0;
  Epilogue epilogue = {};
  int64_t stride_residual = 0;
};

// Bytes of scratch for a team of up to `threads`.
size_t GemmScratchBytes(const MathKernels& kernels, const BatchedGemm& gemm, int threads);
void Gemm(const MathKernels& kernels, const BatchedGemm& gemm, Team& team, void* scratch);

}  // namespace rlx::cpu
