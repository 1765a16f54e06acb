// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "backends/cpu/math/dequant_parts.h"
#include "runtime/base/thread_pool.h"

namespace rlx::cpu {
namespace {

// Beyond so many rows the decoded panel wins: a code is decoded once for eight rows here.
constexpr int64_t kMostBlockRows = 24;
constexpr int64_t kMostCodeRows = 8;

// --- Blocks: a dot product for each column

// Floats of x that a pass over k keeps in L1 for all the columns of a claim.
constexpr int64_t kDotFloats = 8192;

// Columns that are done together: a cache line of each row of C, so that no two threads write to
// one. Their sums wait in a buffer, since rows of C may lie a power of two apart.
constexpr int64_t kDotColumns = 16;

constexpr int64_t kBytesAhead = 6144;

int64_t DotDepth(int64_t m) {
  return kDotFloats / std::min(m, kMostDotRows) / 256 * 256;  // whole blocks of every scheme
}

void DotColumns(const MathKernels& kernels, const DequantGemm& g, int64_t begin, int64_t end) {
  const QuantSchemeInfo& info = Info(g.w.scheme);
  const int64_t depth = DotDepth(g.m);
  float sums[kMostBlockRows * kDotColumns] = {};
  // Far enough for memory to answer: in one run of bytes, or two columns on.
  const int64_t ahead = depth >= g.k ? kBytesAhead : 2 * BlockRowBytes(g);
  DotBlocksTask task{
      .form = FormOf(g.w.scheme), .ahead = ahead, .ldx = g.lda, .ld_out = kDotColumns};
  for (int64_t from = 0; from < g.k; from += depth) {
    task.count = std::min(depth, g.k - from) / info.block_elements;
    const uint8_t* blocks = g.w.bytes + from / info.block_elements * info.block_bytes;
    for (int64_t row = 0; row < g.m; row += kMostDotRows) {
      task.rows = std::min(kMostDotRows, g.m - row);
      task.x = g.a + row * g.lda + from;
      for (int64_t j = begin; j < end; ++j) {
        task.blocks = blocks + j * BlockRowBytes(g);
        task.out = sums + row * kDotColumns + j - begin;
        kernels.dot_blocks(task);
      }
    }
  }
  for (int64_t i = 0; i < g.m; ++i) {
    std::copy_n(sums + i * kDotColumns, end - begin, g.c + i * g.ldc + begin);
  }
}

// --- Codes: strips of columns, wide enough that memory is read in long runs

constexpr int64_t kMostStrip = 1024, kLeastStrip = 128;

// Two strips for each thread; how they are cut changes no sum.
int64_t StripWidth(int64_t n, int threads) {
  const int64_t even = (n + 2 * threads - 1) / (2 * threads);
  return std::clamp((even + 127) / 128 * 128, kLeastStrip, kMostStrip);
}

void SumStrip(const MathKernels& kernels, const DequantGemm& g, int64_t begin, int64_t end) {
  float scale[kMostStrip], zero[kMostStrip];
  const int64_t columns = end - begin;
  for (int64_t i = 0; i < g.m; ++i) std::fill(g.c + i * g.ldc + begin, g.c + i * g.ldc + end, 0.0F);
  SumCodesTask task{.ld = CodeRowBytes(g),
                    .nibbles = IsNibbles(g),
                    .columns = columns,
                    .rows = g.m,
                    .ldx = g.lda,
                    .out = g.c + begin,
                    .ld_out = g.ldc};
  for (int64_t p = 0; p < g.k; p += g.w.block) {
    const int64_t at = p / g.w.block * g.n + begin;
    task.codes = g.w.bytes + p * task.ld + (task.nibbles ? begin / 2 : begin);
    task.depth = std::min(g.w.block, g.k - p);
    task.x = g.a + p;
    task.scale = NumbersOf(g.w.scale, g.w.read_scale, at, columns, scale);
    task.zero = NumbersOf(g.w.zero, g.w.read_zero, at, columns, zero);
    kernels.sum_codes(task);
  }
}

}  // namespace

bool FewRows(const DequantGemm& gemm) {
  return gemm.m <= (Info(gemm.w.scheme).is_block() ? kMostBlockRows : kMostCodeRows);
}

void GemmFewRows(const MathKernels& kernels, const DequantGemm& gemm, Team& team) {
  if (Info(gemm.w.scheme).is_block()) {
    team.ParallelFor(0, gemm.n, kDotColumns, [&](int64_t begin, int64_t end, int) {
      DotColumns(kernels, gemm, begin, end);
    });
    return;
  }
  team.ParallelFor(0, gemm.n, StripWidth(gemm.n, team.size()),
                   [&](int64_t begin, int64_t end, int) { SumStrip(kernels, gemm, begin, end); });
}

}  // namespace rlx::cpu
