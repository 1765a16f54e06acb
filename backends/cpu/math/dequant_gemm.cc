// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/dequant_gemm.h"

#include <algorithm>

#include "backends/cpu/math/dequant_parts.h"
#include "backends/cpu/math/panel_task.h"
#include "backends/cpu/math/panels.h"
#include "runtime/base/thread_pool.h"

namespace rlx::cpu {
namespace {

// Rows of C that share one decoding of a panel.
constexpr int64_t kBlockRows = 512;
constexpr int64_t kMostPanelWidth = 64;

// A thread's scratch: a panel's chunk as the product reads it, and before it is turned.
struct Scratch {
  float* packed;
  float* decoded;
};

int64_t ScratchFloats(const MathKernels& kernels) {
  return 2 * kernels.panel_width() * kDecodeDepth;
}

// Rows [from, from + depth) of the panels [begin, end). [k, n] codes are cut into strips of several
// panels, because a panel alone would take less than a cache line of each row; blocks run along k,
// so that a panel of them is as good as many.
struct Piece {
  int64_t begin, end;
  int64_t from, depth;
};

class Strips {
 public:
  Strips(const Panels& panels, const DequantGemm& g, int threads)
      : panels_(panels), wide_(Info(g.w.scheme).is_block() ? 1 : Wide(panels.count(), threads)) {}

  int64_t count() const { return (panels_.count() + wide_ - 1) / wide_; }
  Piece At(int64_t strip, const DequantGemm& g, int64_t from) const {
    return {strip * wide_, std::min((strip + 1) * wide_, panels_.count()), from,
            std::min(kDecodeDepth, g.k - from)};
  }

 private:
  static int64_t Wide(int64_t panels, int threads) {
    return std::clamp<int64_t>((panels + 4 * threads - 1) / (4 * threads), 1, 16);
  }

  const Panels& panels_;
  int64_t wide_;
};

// --- What comes next, on its way into L2

void Fetch(const uint8_t* from, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(from + at, 0, 2);
  __builtin_prefetch(from + bytes - 1, 0, 2);
}

// Part `part` of `parts` of what `piece` will read.
void FetchPart(const DequantGemm& g, const Panels& panels, const Piece& piece, int64_t part,
               int64_t parts) {
  const Panel last = panels.At(piece.end - 1);
  const int64_t column = panels.At(piece.begin).begin, columns = last.begin + last.columns - column;
  const QuantSchemeInfo& info = Info(g.w.scheme);
  const int64_t count = info.is_block() ? columns : piece.depth;
  for (int64_t i = count * part / parts; i < count * (part + 1) / parts; ++i) {
    if (info.is_block()) {
      Fetch(g.w.bytes + (column + i) * BlockRowBytes(g) +
                piece.from / info.block_elements * info.block_bytes,
            piece.depth / info.block_elements * info.block_bytes);
    } else {
      const int per_byte = IsNibbles(g) ? 2 : 1;
      Fetch(g.w.bytes + (piece.from + i) * CodeRowBytes(g) + column / per_byte, columns / per_byte);
    }
  }
}

// --- One panel's chunk

void DecodeBlockRows(const MathKernels& kernels, const DequantGemm& g, const Panel& panel,
                     int64_t from, int64_t depth, const Scratch& scratch) {
  const QuantSchemeInfo& info = Info(g.w.scheme);
  const int64_t start = from / info.block_elements * info.block_bytes;
  for (int64_t j = 0; j < panel.columns; ++j) {
    kernels.decode_blocks({.form = FormOf(g.w.scheme),
                           .blocks = g.w.bytes + (panel.begin + j) * BlockRowBytes(g) + start,
                           .count = depth / info.block_elements,
                           .out = scratch.decoded + j * depth});
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
  const int64_t ld = CodeRowBytes(g);
  float scale[kMostPanelWidth], zero[kMostPanelWidth];
  for (int64_t p = from, rows; p < from + depth; p += rows) {
    rows = std::min(g.w.block - p % g.w.block, from + depth - p);
    const int64_t at = p / g.w.block * g.n + panel.begin;
    kernels.decode_codes(
        {.codes = g.w.bytes + p * ld + (IsNibbles(g) ? panel.begin / 2 : panel.begin),
         .ld = ld,
         .nibbles = IsNibbles(g),
         .rows = rows,
         .columns = panel.columns,
         .vectors = panel.vectors,
         .scale = NumbersOf(g.w.scale, g.w.read_scale, at, panel.columns, scale),
         .zero = NumbersOf(g.w.zero, g.w.read_zero, at, panel.columns, zero),
         .out = scratch.packed + (p - from) * panel.vectors * kernels.lanes});
  }
}

void Multiply(const MathKernels& kernels, const DequantGemm& g, const Panel& panel, int64_t from,
              int64_t depth, int64_t row, const float* packed) {
  kernels.gemm_panel({.rows = std::min(kBlockRows, g.m - row),
                      .k = depth,
                      .a = g.a + row * g.lda + from,
                      .lda = g.lda,
                      .b = packed,
                      .next_b = packed,
                      .columns = panel.columns,
                      .vectors = panel.vectors,
                      .c = g.c + row * g.ldc + panel.begin,
                      .ldc = g.ldc,
                      .accumulate = from > 0});
}

// All of k for one strip and one block of rows. `next` is the strip that this thread will probably
// go on with.
void RunStrip(const MathKernels& kernels, const DequantGemm& g, const Panels& panels,
              const Strips& strips, int64_t strip, int64_t next, int64_t row,
              const Scratch& scratch) {
  const auto decode = Info(g.w.scheme).is_block() ? DecodeBlockRows : DecodeCodeRows;
  for (int64_t from = 0; from < g.k; from += kDecodeDepth) {
    const Piece piece = strips.At(strip, g, from);
    const Piece ahead = from + kDecodeDepth < g.k ? strips.At(strip, g, from + kDecodeDepth)
                                                  : strips.At(next, g, 0);
    for (int64_t p = piece.begin; p < piece.end; ++p) {
      const Panel panel = panels.At(p);
      decode(kernels, g, panel, piece.from, piece.depth, scratch);
      FetchPart(g, panels, ahead, p - piece.begin, piece.end - piece.begin);
      Multiply(kernels, g, panel, piece.from, piece.depth, row, scratch.packed);
    }
  }
}

void RunPanels(const MathKernels& kernels, const DequantGemm& g, Team& team, float* scratch) {
  const Panels panels(kernels, g.n);
  const Strips strips(panels, g, team.size());
  const int64_t units = (g.m + kBlockRows - 1) / kBlockRows * strips.count();
  const int64_t bytes = g.n * g.k * Info(g.w.scheme).bits_x10 / 80 / strips.count();
  const int64_t grain = std::max<int64_t>(1, kClaimBytes / std::max<int64_t>(1, bytes));
  team.ParallelFor(0, units, grain, [&](int64_t begin, int64_t end, int member) {
    float* mine = scratch + member * ScratchFloats(kernels);
    const Scratch own{mine, mine + kernels.panel_width() * kDecodeDepth};
    for (int64_t u = begin; u < end; ++u) {
      const int64_t next = u + 1 < end ? u + 1 : u + 1 + grain * (team.size() - 1);
      RunStrip(kernels, g, panels, strips, u % strips.count(), next % strips.count(),
               u / strips.count() * kBlockRows, own);
    }
  });
}

}  // namespace

BlockForm FormOf(QuantScheme scheme) {
  switch (scheme) {
    case QuantScheme::kQ4_0:
      return BlockForm::kQ4_0;
    case QuantScheme::kQ2K:
      return BlockForm::kQ2K;
    case QuantScheme::kQ3K:
      return BlockForm::kQ3K;
    case QuantScheme::kQ4K:
      return BlockForm::kQ4K;
    case QuantScheme::kQ5K:
      return BlockForm::kQ5K;
    case QuantScheme::kQ6K:
      return BlockForm::kQ6K;
    case QuantScheme::kQ8K:
      return BlockForm::kQ8K;
    default:
      return BlockForm::kQ8_0;
  }
}

bool TakesScheme(QuantScheme scheme) {
  return Info(scheme).is_block() || scheme == QuantScheme::kInt8 ||
         scheme == QuantScheme::kInt8Asym || scheme == QuantScheme::kInt4;
}

size_t DequantScratchBytes(const MathKernels& kernels, int threads) {
  return static_cast<size_t>(ScratchFloats(kernels)) * sizeof(float) * static_cast<size_t>(threads);
}

void Gemm(const MathKernels& kernels, const DequantGemm& gemm, Team& team, void* scratch) {
  if (FewRows(gemm)) return GemmFewRows(kernels, gemm, team);
  RunPanels(kernels, gemm, team, static_cast<float*>(scratch));
}

}  // namespace rlx::cpu
