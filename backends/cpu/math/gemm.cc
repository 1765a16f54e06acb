// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/gemm.h"

#include <algorithm>

#include "backends/cpu/math/panel_task.h"
#include "backends/cpu/math/panels.h"
#include "runtime/base/thread_pool.h"

namespace rlx::cpu {
namespace {

// Rows of C that one unit of work covers at most: enough to use a panel of B well, few enough that
// their part of A stays in L2.
constexpr int64_t kBlockRows = 128;
// Where that leaves a thread fewer units than this, it covers fewer rows, but so many at least.
constexpr int64_t kUnitsEach = 6, kLeastRows = 24;

// Weights that a core's own cache holds, and rows so few that reading them is what takes time.
constexpr int64_t kOwnFloats = 200'000, kOwnRows = 8;

// Below this many multiply-adds a unit costs less than claiming it.
constexpr int64_t kUnitWork = 64 * 1024;

// And at no more a claim is long enough: between claims a run may be ended.
constexpr int64_t kClaimWork = int64_t{1} << 28;

// The same as kUnitWork for floats of weights that are read from memory.
constexpr int64_t kUnitFloats = 16 * 1024;

// Claims of work for each thread of a team, unless that is more units than a thread should run
// ahead of the others by.
constexpr int64_t kClaims = 4, kMostUnits = 8;

PanelTask TaskFor(const PackedGemm& g, const Panel& panel, const Panel& next, int64_t row,
                  int64_t rows) {
  const Epilogue& e = g.epilogue;
  return {
      .rows = rows,
      .k = g.k,
      .a = g.a + row * g.lda,
      .lda = g.lda,
      .b = g.b + panel.begin * g.k,
      .next_b = g.b + next.begin * g.k,
      .columns = panel.columns,
      .vectors = panel.vectors,
      .c = g.c + row * g.ldc + panel.begin,
      .ldc = g.ldc,
      .accumulate = false,
      .alpha = e.alpha,
      .bias = e.bias == nullptr ? nullptr : e.bias + panel.begin,
      .row_bias = e.row_bias == nullptr ? nullptr : e.row_bias + row,
      .activation = e.activation,
      .residual = e.residual == nullptr ? nullptr : e.residual + row * e.ld_residual + panel.begin,
      .ld_residual = e.ld_residual,
      .residual_first = e.residual_first};
}

// Rows of a unit: even blocks, so that threads end at about one time.
int64_t BlockRows(const MathKernels& kernels, const PackedGemm& g, const Panels& panels,
                  int threads) {
  int64_t blocks = (g.m + kBlockRows - 1) / kBlockRows;
  if (threads > 1) {
    while (blocks * panels.count() < kUnitsEach * threads && g.m / (2 * blocks) >= kLeastRows) {
      blocks *= 2;
    }
  }
  const int64_t rows = (g.m + blocks - 1) / blocks;
  return (rows + kernels.tile_rows - 1) / kernels.tile_rows * kernels.tile_rows;
}

// Units [begin, end): for each block of rows, each panel. `skip` units that other threads do
// follow.
void RunUnits(const MathKernels& kernels, const PackedGemm& g, const Panels& panels, int64_t block,
              int64_t begin, int64_t end, int64_t skip) {
  for (int64_t u = begin; u < end; ++u) {
    const int64_t row = u / panels.count() * block;
    const int64_t rows = std::min(block, g.m - row);
    const int64_t next = u + 1 < end ? u + 1 : u + 1 + skip;
    kernels.gemm_panel(
        TaskFor(g, panels.At(u % panels.count()), panels.At(next % panels.count()), row, rows));
  }
}

// Units to claim at a time: a few claims for each thread, so that a slow core does not hold up the
// others, but panels that follow each other where possible, and no claim that costs less than
// claiming. Few rows cost what reading the weights costs: against weights that the caches of all
// cores hold a claim each, so that in a loop every core meets its own part again; else panel by
// panel, so that threads end at about one time.
int64_t Grain(const PackedGemm& g, int64_t block, int64_t units, int width, int threads) {
  const int64_t work = std::min(g.m, block) * g.k * width;
  if (g.m <= kOwnRows && g.k * g.n > threads * kOwnFloats) {
    return std::max<int64_t>(1, kUnitFloats / (g.k * width));
  }
  const bool own = g.m <= kOwnRows;
  const int64_t claims = own ? threads : kClaims * threads;
  const int64_t even = own ? (units + claims - 1) / claims : units / claims;
  const int64_t most = own ? even : std::min(even, kMostUnits);
  return std::max<int64_t>({1, kUnitWork / work, std::min(most, kClaimWork / work)});
}

PackTask PackTaskFor(const BatchedGemm& g, const float* b, const Panel& panel, float* packed) {
  return {.b = b + panel.begin * (g.b_transposed ? g.ldb : 1),
          .ldb = g.ldb,
          .transposed = g.b_transposed,
          .k = g.k,
          .columns = panel.columns,
          .vectors = panel.vectors,
          .out = packed + panel.begin * g.k};
}

PackedGemm Member(const BatchedGemm& g, int64_t i, const float* packed) {
  PackedGemm one{.m = g.m,
                 .n = g.n,
                 .k = g.k,
                 .a = g.a + i * g.stride_a,
                 .lda = g.lda,
                 .b = packed,
                 .c = g.c + i * g.stride_c,
                 .ldc = g.ldc,
                 .epilogue = g.epilogue};
  if (one.epilogue.residual != nullptr) one.epilogue.residual += i * g.stride_residual;
  return one;
}

// Members of a batch are split among the threads when there are several for each, and every thread
// packs the B of its own; otherwise members run one after the other, each on all threads.
bool SplitsByMember(const BatchedGemm& g, int threads) {
  return g.stride_b != 0 && g.batch >= 2 * threads;
}

}  // namespace

int64_t PackedSize(const MathKernels& kernels, int64_t k, int64_t n) {
  return Panels(kernels, n).width() * k;
}

void PackB(const MathKernels& kernels, int64_t k, int64_t n, const float* b, int64_t ldb,
           bool transposed, float* packed, Team& team) {
  const BatchedGemm shape{.n = n, .k = k, .ldb = ldb, .b_transposed = transposed};
  const Panels panels(kernels, n);
  team.ParallelFor(0, panels.count(), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t p = begin; p < end; ++p) {
      kernels.pack_panel(PackTaskFor(shape, b, panels.At(p), packed));
    }
  });
}

void Gemm(const MathKernels& kernels, const PackedGemm& gemm, Team& team) {
  const Panels panels(kernels, gemm.n);
  const int64_t block = BlockRows(kernels, gemm, panels, team.size());
  const int64_t units = (gemm.m + block - 1) / block * panels.count();
  const int64_t grain = Grain(gemm, block, units, kernels.panel_width(), team.size());
  const int64_t skip = grain * (team.size() - 1);
  team.ParallelFor(0, units, grain, [&](int64_t begin, int64_t end, int) {
    RunUnits(kernels, gemm, panels, block, begin, end, skip);
  });
}

size_t GemmScratchBytes(const MathKernels& kernels, const BatchedGemm& gemm, int threads) {
  // The team may turn out smaller, and then split where `threads` would not have.
  const int64_t copies = std::max<int64_t>(1, std::min<int64_t>(threads, gemm.batch / 2));
  return static_cast<size_t>(copies * PackedSize(kernels, gemm.k, gemm.n)) * sizeof(float);
}

void Gemm(const MathKernels& kernels, const BatchedGemm& gemm, Team& team, void* scratch) {
  const Panels panels(kernels, gemm.n);
  float* packed = static_cast<float*>(scratch);
  if (!SplitsByMember(gemm, team.size())) {
    for (int64_t i = 0; i < gemm.batch; ++i) {
      if (i == 0 || gemm.stride_b != 0) {
        PackB(kernels, gemm.k, gemm.n, gemm.b + i * gemm.stride_b, gemm.ldb, gemm.b_transposed,
              packed, team);
      }
      Gemm(kernels, Member(gemm, i, packed), team);
    }
    return;
  }
  const int64_t size = PackedSize(kernels, gemm.k, gemm.n);
  team.ParallelFor(0, gemm.batch, 1, [&](int64_t begin, int64_t end, int member) {
    Team alone = team.Alone();
    float* mine = packed + member * size;
    for (int64_t i = begin; i < end; ++i) {
      PackB(kernels, gemm.k, gemm.n, gemm.b + i * gemm.stride_b, gemm.ldb, gemm.b_transposed, mine,
            alone);
      Gemm(kernels, Member(gemm, i, mine), alone);
    }
  });
}

}  // namespace rlx::cpu
