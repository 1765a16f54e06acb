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

// A thread's scratch: a panel's chunk as the product reads it, and before it is turned. Codes are
// not turned; there it holds a chunk of A, whose rows may lie a power of two apart and meet every
// panel of a strip.
struct Scratch {
  float* packed;
  float* decoded;
};

// Rows of k that are decoded at a time. Rows of codes lie n bytes apart, often a power of two, and
// then share a few sets of the caches with those fetched ahead: fewer of them keep out of each
// other's way.
constexpr int64_t kCodeDepth = 64;
int64_t DepthOf(const DequantGemm& g) {
  return Info(g.w.scheme).is_block() ? kDecodeDepth : kCodeDepth;
}

int64_t ScratchFloats(const MathKernels& kernels) {
  const int64_t panel = kernels.panel_width() * kDecodeDepth;
  return panel + std::max(panel, kBlockRows * kCodeDepth);
}

// Panels [begin, end).
struct Span {
  int64_t begin, end;
};

// [k, n] codes are cut into strips of several panels, because a panel alone would take less than a
// cache line of each row; blocks run along k, so that a panel of them is as good as many.
class Strips {
 public:
  Strips(const Panels& panels, const DequantGemm& g, int threads)
      : panels_(panels.count()),
        wide_(Info(g.w.scheme).is_block() ? 1 : Wide(panels.count(), threads)) {}

  int64_t count() const { return (panels_ + wide_ - 1) / wide_; }
  Span At(int64_t strip) const { return {strip * wide_, std::min((strip + 1) * wide_, panels_)}; }

 private:
  static int64_t Wide(int64_t panels, int threads) {
    return std::clamp<int64_t>((panels + 4 * threads - 1) / (4 * threads), 1, 16);
  }

  int64_t panels_, wide_;
};

// --- One panel's chunk

// Each decodes rows [at.from, at.from + at.depth) of a panel into scratch.packed, and meanwhile has
// `ahead` brought into L2: the rows that the same panel will read next.
struct Chunk {
  int64_t from, depth;
};
struct Ahead {
  int64_t column, from;
};

const uint8_t* BlocksAt(const DequantGemm& g, int64_t column, int64_t from) {
  const QuantSchemeInfo& info = Info(g.w.scheme);
  return g.w.bytes + column * BlockRowBytes(g) + from / info.block_elements * info.block_bytes;
}

void DecodeBlockRows(const MathKernels& kernels, const DequantGemm& g, const Panel& panel, Chunk at,
                     Ahead ahead, const Scratch& scratch) {
  const QuantSchemeInfo& info = Info(g.w.scheme);
  const int64_t count = at.depth / info.block_elements;
  for (int64_t j = 0; j < panel.columns; ++j) {
    const uint8_t* next = BlocksAt(g, ahead.column + j, ahead.from);
    for (int64_t byte = 0; byte < count * info.block_bytes; byte += 64) {
      __builtin_prefetch(next + byte, 0, 2);
    }
    kernels.decode_blocks({.form = FormOf(g.w.scheme),
                           .blocks = BlocksAt(g, panel.begin + j, at.from),
                           .count = count,
                           .out = scratch.decoded + j * at.depth});
  }
  kernels.pack_panel({.b = scratch.decoded,
                      .ldb = at.depth,
                      .transposed = true,
                      .k = at.depth,
                      .columns = panel.columns,
                      .vectors = panel.vectors,
                      .out = scratch.packed});
}

const uint8_t* CodesAt(const DequantGemm& g, int64_t column, int64_t p) {
  return g.w.bytes + p * CodeRowBytes(g) + (IsNibbles(g) ? column / 2 : column);
}

void DecodeCodeRows(const MathKernels& kernels, const DequantGemm& g, const Panel& panel, Chunk at,
                    Ahead ahead, const Scratch& scratch) {
  float scale[kMostPanelWidth], zero[kMostPanelWidth];
  for (int64_t p = at.from, rows; p < at.from + at.depth; p += rows) {
    rows = std::min(g.w.block - p % g.w.block, at.from + at.depth - p);
    const int64_t numbers = p / g.w.block * g.n + panel.begin;
    kernels.decode_codes(
        {.codes = CodesAt(g, panel.begin, p),
         .ahead = CodesAt(g, ahead.column, ahead.from + p - at.from),
         .ld = CodeRowBytes(g),
         .nibbles = IsNibbles(g),
         .rows = rows,
         .columns = panel.columns,
         .vectors = panel.vectors,
         .scale = NumbersOf(g.w.scale, g.w.read_scale, numbers, panel.columns, scale),
         .zero = NumbersOf(g.w.zero, g.w.read_zero, numbers, panel.columns, zero),
         .out = scratch.packed + (p - at.from) * panel.vectors * kernels.lanes});
  }
}

// Rows of A for one chunk of k.
struct Rows {
  int64_t begin, count;
  const float* a;
  int64_t lda;
};

Rows PackRows(const DequantGemm& g, int64_t row, Chunk at, float* out) {
  const int64_t count = std::min(kBlockRows, g.m - row);
  const float* a = g.a + row * g.lda + at.from;
  if (Info(g.w.scheme).is_block()) return {row, count, a, g.lda};
  for (int64_t i = 0; i < count; ++i) std::copy_n(a + i * g.lda, at.depth, out + i * at.depth);
  return {row, count, out, at.depth};
}

void Multiply(const MathKernels& kernels, const DequantGemm& g, const Panel& panel, Chunk at,
              const Rows& rows, const float* packed) {
  kernels.gemm_panel({.rows = rows.count,
                      .k = at.depth,
                      .a = rows.a,
                      .lda = rows.lda,
                      .b = packed,
                      .next_b = packed,
                      .columns = panel.columns,
                      .vectors = panel.vectors,
                      .c = g.c + rows.begin * g.ldc + panel.begin,
                      .ldc = g.ldc,
                      .accumulate = at.from > 0});
}

// All of k for one strip and one block of rows. `next` is the strip that this thread will probably
// go on with.
void RunStrip(const MathKernels& kernels, const DequantGemm& g, const Panels& panels,
              const Strips& strips, int64_t strip, int64_t next, int64_t row,
              const Scratch& scratch) {
  const auto decode = Info(g.w.scheme).is_block() ? DecodeBlockRows : DecodeCodeRows;
  const Span own = strips.At(strip), after = strips.At(next);
  const int64_t step = DepthOf(g);
  for (int64_t from = 0; from < g.k; from += step) {
    const Chunk chunk{from, std::min(step, g.k - from)};
    const bool last = from + step >= g.k;
    const Rows rows = PackRows(g, row, chunk, scratch.decoded);
    for (int64_t p = own.begin; p < own.end; ++p) {
      const Panel panel = panels.At(p);
      // The next strip may be narrower: then its last panel is fetched more than once.
      const int64_t other = std::min(after.begin + p - own.begin, after.end - 1);
      const Ahead ahead = last ? Ahead{panels.At(other).begin, 0} : Ahead{panel.begin, from + step};
      decode(kernels, g, panel, chunk, ahead, scratch);
      Multiply(kernels, g, panel, chunk, rows, scratch.packed);
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
