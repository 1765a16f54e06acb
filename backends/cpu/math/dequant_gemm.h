// SPDX-License-Identifier: Apache-2.0
// C[m,n] = A[m,k] W, W as packed quantized weights in the layouts of
// runtime/tensor/quant_scheme.h. Weights are decoded as they are met: they are never expanded in
// full.
//
// Few rows (FewRows() says how few) take each code from memory into a register and from there into
// the sums: they are bound by the packed bytes, as a decoder's single row should be. More rows
// decode a panel of columns, at most kDecodeDepth rows of it at a time, into scratch that stays in
// cache, and multiply that; an element of C is then one chain of additions in ascending k, as in
// gemm.h. So results depend on m, which decides the order of additions, and not on threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/math/kernels.h"
#include "runtime/tensor/quant_scheme.h"

namespace rlx {
class Team;
}

namespace rlx::cpu {

struct QuantWeights {
  QuantScheme scheme = QuantScheme::kInt8;  // int8, int8a, int4, or one of blocks
  const uint8_t* bytes = nullptr;           // [k, n] codes, or [n, blocks]
  // Codes alone: [k / block, n] scales and zero points (null: 0), each k / block rows of n numbers.
  int64_t block = 0;
  const void* scale = nullptr;
  const void* zero = nullptr;
  // Reads `count` numbers from element `at` on as floats. Null: they are floats.
  void (*read_scale)(const void* from, int64_t at, int64_t count, float* out) = nullptr;
  void (*read_zero)(const void* from, int64_t at, int64_t count, float* out) = nullptr;
};

struct DequantGemm {
  int64_t m = 0, n = 0, k = 0;
  const float* a = nullptr;
  int64_t lda = 0;
  QuantWeights w = {};
  float* c = nullptr;
  int64_t ldc = 0;
};

inline constexpr int64_t kDecodeDepth = 256;

// Whether Gemm() takes weights in this scheme.
bool TakesScheme(QuantScheme scheme);

// Bytes of scratch for a team of up to `threads`.
size_t DequantScratchBytes(const MathKernels& kernels, int threads);
// C must not overlap A or W. `scratch` is aligned to 64 bytes.
void Gemm(const MathKernels& kernels, const DequantGemm& gemm, Team& team, void* scratch);

// What Gemm() chooses between: sums in registers, or decoded panels.
bool FewRows(const DequantGemm& gemm);
void GemmFewRows(const MathKernels& kernels, const DequantGemm& gemm, Team& team);

}  // namespace rlx::cpu
