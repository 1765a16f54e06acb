// SPDX-License-Identifier: Apache-2.0
// Products of i32 with B packed once. Sums wrap. Exact for all values; fast where rows of A and
// columns of B span 256 values at most, as 8-bit codes less a zero point do (int_task.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/math/kernels.h"

namespace rlx {
class Team;
}

namespace rlx::cpu {

// C[m,n] = A[m,k] B[k,n]; k is 1 or more, leading dims are in elements.
struct IntGemm {
  int64_t m = 0, n = 0, k = 0;
  const int32_t* a = nullptr;
  int64_t lda = 0;
  const void* b = nullptr;  // from PackIntB
  int32_t* c = nullptr;
  int64_t ldc = 0;
};

// Bytes of a packed B. Most of it is room for columns that hold no codes, touched where there are
// such.
int64_t PackedIntSize(const MathKernels& kernels, int64_t k, int64_t n);

// Packs B: rows `ldb` apart, or [n,k] in memory where `transposed`.
void PackIntB(const MathKernels& kernels, int64_t k, int64_t n, const int32_t* b, int64_t ldb,
              bool transposed, void* packed, Team& team);

size_t IntGemmScratchBytes(const IntGemm& gemm);
void Gemm(const MathKernels& kernels, const IntGemm& gemm, Team& team, void* scratch);

}  // namespace rlx::cpu
