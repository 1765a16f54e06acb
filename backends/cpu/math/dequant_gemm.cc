// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/dequant_gemm.h"

#include <algorithm>
#include <optional>

#include "backends/cpu/math/decode_task.h"
#include "backends/cpu/math/panel_task.h"
#include "backends/cpu/math/panels.h"
#include "runtime/base/thread_pool.h"

namespace rlx::cpu {
namespace {

// Rows of C that share one decoding of a panel.
constexpr int64_t kBlockRows = 512;
// Bytes of packed weights that a thread claims at a time.
constexpr int64_t kClaimBytes = 32 << 10;

constexpr int64_t kMostPanelWidth = 64;

std::optional<BlockForm> FormOf(QuantScheme scheme) {
  switch (scheme) {
    case QuantScheme::kQ4_0:
      return BlockForm::kQ4_0;
    case QuantScheme::kQ8_0:
      return BlockForm::kQ8_0;
    case QuantScheme::kQ4K:
      return BlockForm::kQ4K;
    case QuantScheme::kQ6K:
      return BlockForm::kQ6K;
    default:
      return std::nullopt;
  }
}

int64_t RowBytes(const DequantGemm& g) {
  const QuantSchemeInfo& info = Info(g.w.scheme);
  return g.k / info.block_elements * info.block_bytes;
}

// --- Few rows against blocks

void DotColumns(const MathKernels& kernels, const DequantGemm& g, BlockForm form, int64_t begin,
                int64_t end) {
  for (int64_t j = begin; j < end; ++j) {
    kernels.dot_blocks({.form = form,
                        .blocks = g.w.bytes + j * RowBytes(g),
                        .count = g.k / Info(g.w.scheme).block_elements,
                        .rows = g.m,
                        .x = g.a,
                        .ldx = g.lda,
                        .out = g.c + j,
                        .ld_out = g.ldc});
  }
}

// --- Panels

// A thread's scratch: a panel's chunk as the product reads it, and before it is turned.
struct Scratch {
  float* packed;
  float* decoded;
};

int64_t ScratchFloats(const MathKernels& kernels) {
  return 2 * kernels.panel_width() * kDecodeDepth;
}

void DecodeBlockRows(const MathKernels& kernels, const DequantGemm& g, const Panel& panel,
                     int64_t from, int64_t depth, const Scratch& scratch) {
  const QuantSchemeInfo& info = Info(g.w.scheme);
  const std::optional<BlockForm> form = FormOf(g.w.scheme);
  const int64_t count = depth / info.block_elements;
  for (int64_t j = 0; j < panel.columns; ++j) {
    const uint8_t* blocks =
        g.w.bytes + (panel.begin + j) * RowBytes(g) + from / info.block_elements * info.block_bytes;
    float* out = scratch.decoded + j * depth;
    if (form) {
      kernels.decode_blocks({*form, blocks, count, out});
      continue;
    }
    for (int64_t b = 0; b < count; ++b) {
      DecodeBlock(g.w.scheme, blocks + b * info.block_bytes, out + b * info.block_elements);
    }
  }
  kernels.pack_panel({.b = scratch.decoded,
                      .ldb = depth,
                      .transposed = true,
                      .k = depth,
                      .columns = panel.columns,
                      .vectors = panel.vectors,
                      .out = scratch.packed});
}

void DecodeCodeRows(const MathKernels& kernels, const DequantGemm& g, const Panel& panel,
                    int64_t from, int64_t depth, const Scratch& scratch) {
  const bool nibbles = g.w.scheme == QuantScheme::kInt4;
  const int64_t ld = nibbles ? g.n / 2 : g.n;
  float scale[kMostPanelWidth], zero[kMostPanelWidth];
  for (int64_t p = from, rows; p < from + depth; p += rows) {
    rows = std::min(g.w.block - p % g.w.block, from + depth - p);
    const int64_t at = p / g.w.block * g.n + panel.begin;
    g.w.read_scale(g.w.scale, at, panel.columns, scale);
    if (g.w.zero != nullptr) g.w.read_zero(g.w.zero, at, panel.columns, zero);
    kernels.decode_codes({.codes = g.w.bytes + p * ld + (nibbles ? panel.begin / 2 : panel.begin),
                          .ld = ld,
                          .nibbles = nibbles,
                          .rows = rows,
                          .columns = panel.columns,
                          .vectors = panel.vectors,
                          .scale = scale,
                          .zero = g.w.zero != nullptr ? zero : nullptr,
                          .out = scratch.packed + (p - from) * panel.vectors * kernels.lanes});
  }
}

void RunPanel(const MathKernels& kernels, const DequantGemm& g, const Panel& panel, int64_t row,
              int64_t rows, const Scratch& scratch) {
  const auto decode = Info(g.w.scheme).is_block() ? DecodeBlockRows : DecodeCodeRows;
  for (int64_t from = 0; from < g.k; from += kDecodeDepth) {
    const int64_t depth = std::min(kDecodeDepth, g.k - from);
    decode(kernels, g, panel, from, depth, scratch);
    kernels.gemm_panel({.rows = rows,
                        .k = depth,
                        .a = g.a + row * g.lda + from,
                        .lda = g.lda,
                        .b = scratch.packed,
                        .next_b = scratch.packed,
                        .columns = panel.columns,
                        .vectors = panel.vectors,
                        .c = g.c + row * g.ldc + panel.begin,
                        .ldc = g.ldc,
                        .accumulate = from > 0});
  }
}

void RunPanels(const MathKernels& kernels, const DequantGemm& g, Team& team, float* scratch) {
  const Panels panels(kernels, g.n);
  const int64_t blocks = (g.m + kBlockRows - 1) / kBlockRows;
  const int64_t panel_bytes = kernels.panel_width() * g.k * Info(g.w.scheme).bits_x10 / 80;
  const int64_t grain = std::max<int64_t>(1, kClaimBytes / std::max<int64_t>(1, panel_bytes));
  team.ParallelFor(0, blocks * panels.count(), grain, [&](int64_t begin, int64_t end, int member) {
    float* mine = scratch + member * ScratchFloats(kernels);
    const Scratch own{mine, mine + kernels.panel_width() * kDecodeDepth};
    for (int64_t u = begin; u < end; ++u) {
      const int64_t row = u / panels.count() * kBlockRows;
      RunPanel(kernels, g, panels.At(u % panels.count()), row, std::min(kBlockRows, g.m - row),
               own);
    }
  });
}

}  // namespace

bool TakesScheme(QuantScheme scheme) {
  return Info(scheme).is_block() || scheme == QuantScheme::kInt8 ||
         scheme == QuantScheme::kInt8Asym || scheme == QuantScheme::kInt4;
}

size_t DequantScratchBytes(const MathKernels& kernels, int threads) {
  return static_cast<size_t>(ScratchFloats(kernels)) * sizeof(float) * static_cast<size_t>(threads);
}

void Gemm(const MathKernels& kernels, const DequantGemm& gemm, Team& team, void* scratch) {
  const std::optional<BlockForm> form = FormOf(gemm.w.scheme);
  if (!form || gemm.m > kMostDotRows) {
    return RunPanels(kernels, gemm, team, static_cast<float*>(scratch));
  }
  const int64_t grain = std::max<int64_t>(1, kClaimBytes / RowBytes(gemm));
  team.ParallelFor(0, gemm.n, grain, [&](int64_t begin, int64_t end, int) {
    DotColumns(kernels, gemm, *form, begin, end);
  });
}

}  // namespace rlx::cpu
