// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/int_gemm.h"

#include <algorithm>
#include <cstring>

#include "backends/cpu/math/int_task.h"
#include "runtime/base/thread_pool.h"

namespace rlx::cpu {
namespace {

// Rows of A that one unit of work covers: their codes stay in L2.
constexpr int64_t kBlockRows = 128;
// Below this many multiply-adds a unit costs less than claiming it; units of a claim at most.
constexpr int64_t kUnitWork = 256 * 1024, kMostUnits = 8;
// Rows whose codes are made at a time.
constexpr int64_t kCodedRows = 8;
constexpr int64_t kAlign = 64;

int64_t Quads(int64_t k) { return (k + kQuad - 1) / kQuad; }

// A packed B: panels of `width` columns, each a head and its codes, and behind all of them room for
// the elements of panels that have none. Memory that is never touched costs nothing.
//
//   sums i32[width] | lows i32[width] | wide i32, to a whole line | codes
struct Layout {
  Layout(const MathKernels& kernels, int64_t k_in, int64_t n_in)
      : k(k_in), n(n_in), width(kernels.int_columns) {
    count = (n + width - 1) / width;
    head = Lines(2 * width * 4) + kAlign;
    stride = Lines(head + Quads(k) * kQuad * width);
    wide_stride = Lines(k * width * 4);
  }
  static int64_t Lines(int64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }
  int64_t columns(int64_t panel) const { return std::min(width, n - panel * width); }
  int64_t bytes() const { return count * (stride + wide_stride); }

  int64_t k, n, width, count = 0, head = 0, stride = 0, wide_stride = 0;
};

// One panel where it lies.
struct PanelBytes {
  PanelBytes(const Layout& l, void* packed, int64_t panel)
      : sums(reinterpret_cast<int32_t*>(static_cast<char*>(packed) + panel * l.stride)),
        lows(sums + l.width),
        wide(lows + l.width),
        codes(static_cast<char*>(packed) + panel * l.stride + l.head),
        elements(static_cast<char*>(packed) + l.count * l.stride + panel * l.wide_stride) {}
  int32_t *sums, *lows, *wide;
  void *codes, *elements;
};

struct Source {
  int32_t At(int64_t row, int64_t column) const {
    return transposed ? b[column * ldb + row] : b[row * ldb + column];
  }
  const int32_t* b;
  int64_t ldb;
  bool transposed;
};

// Calls fn(row, column, value) for columns [begin, begin + count), in the order of memory.
template <class Fn>
void ForEach(const Source& b, int64_t k, int64_t begin, int64_t count, Fn fn) {
  for (int64_t outer = 0; outer < (b.transposed ? count : k); ++outer) {
    for (int64_t inner = 0; inner < (b.transposed ? k : count); ++inner) {
      const int64_t row = b.transposed ? inner : outer, column = b.transposed ? outer : inner;
      fn(row, column, b.At(row, begin + column));
    }
  }
}

// Each column's low; false where some column spans more than codes hold.
bool FindLows(const Layout& l, const Source& b, int64_t begin, int64_t count, int32_t* lows,
              int32_t* highs) {
  for (int64_t j = 0; j < l.width; ++j) lows[j] = INT32_MAX, highs[j] = INT32_MIN;
  ForEach(b, l.k, begin, count, [&](int64_t, int64_t j, int32_t x) {
    lows[j] = std::min(lows[j], x);
    highs[j] = std::max(highs[j], x);
  });
  bool fits = true;
  for (int64_t j = 0; j < l.width; ++j) {
    if (j < count) fits &= int64_t{highs[j]} - lows[j] <= 255;
    const bool plain = j >= count || (lows[j] >= -128 && highs[j] <= 127);
    lows[j] = plain ? 0 : static_cast<int32_t>(static_cast<uint32_t>(lows[j]) + 128u);
  }
  return fits;
}

void PackPanel(const Layout& l, const Source& b, int64_t panel, void* packed) {
  const PanelBytes to(l, packed, panel);
  const int64_t begin = panel * l.width, count = l.columns(panel);
  const bool fits = FindLows(l, b, begin, count, to.lows, to.sums);
  std::fill_n(to.sums, l.width, 0);
  *to.wide = fits ? 0 : 1;
  if (!fits) {
    auto* elements = static_cast<int32_t*>(to.elements);
    if (count < l.width) std::fill_n(elements, l.k * l.width, 0);
    ForEach(b, l.k, begin, count,
            [&](int64_t i, int64_t j, int32_t x) { elements[i * l.width + j] = x; });
    return;
  }
  auto* codes = static_cast<int8_t*>(to.codes);
  std::memset(codes, 0, static_cast<size_t>(Quads(l.k) * kQuad * l.width));
  ForEach(b, l.k, begin, count, [&](int64_t i, int64_t j, int32_t x) {
    const int64_t code = int64_t{x} - to.lows[j];
    codes[(i / kQuad * l.width + j) * kQuad + i % kQuad] = static_cast<int8_t>(code);
    to.sums[j] += static_cast<int32_t>(code);
  });
}

// Codes of A in scratch: what each row is, then the codes.
struct Coded {
  Coded(const IntGemm& g, void* scratch)
      : quads(Quads(g.k)),
        rows(static_cast<IntRow*>(scratch)),
        codes(static_cast<uint8_t*>(scratch) + HeadBytes(g)) {}
  static int64_t HeadBytes(const IntGemm& g) {
    return (g.m * static_cast<int64_t>(sizeof(IntRow)) + kAlign - 1) / kAlign * kAlign;
  }
  int64_t quads;
  IntRow* rows;
  uint8_t* codes;
};

void RunUnit(const MathKernels& kernels, const IntGemm& g, const Layout& l, const Coded& coded,
             int64_t row, int64_t panel) {
  const PanelBytes b(l, const_cast<void*>(g.b), panel);
  kernels.int_panel({.rows = std::min(kBlockRows, g.m - row),
                     .k = g.k,
                     .a = g.a + row * g.lda,
                     .lda = g.lda,
                     .codes = coded.codes + row * coded.quads * kQuad,
                     .row = coded.rows + row,
                     .wide = *b.wide != 0,
                     .b = *b.wide != 0 ? b.elements : b.codes,
                     .head = {b.sums, b.lows},
                     .columns = static_cast<int>(l.columns(panel)),
                     .c = g.c + row * g.ldc + panel * l.width,
                     .ldc = g.ldc});
}

}  // namespace

int64_t PackedIntSize(const MathKernels& kernels, int64_t k, int64_t n) {
  return Layout(kernels, k, n).bytes();
}

void PackIntB(const MathKernels& kernels, int64_t k, int64_t n, const int32_t* b, int64_t ldb,
              bool transposed, void* packed, Team& team) {
  const Layout l(kernels, k, n);
  team.ParallelFor(0, l.count, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t p = begin; p < end; ++p) PackPanel(l, {b, ldb, transposed}, p, packed);
  });
}

size_t IntGemmScratchBytes(const IntGemm& g) {
  return static_cast<size_t>(Coded::HeadBytes(g) + g.m * Quads(g.k) * kQuad);
}

void Gemm(const MathKernels& kernels, const IntGemm& g, Team& team, void* scratch) {
  const Layout l(kernels, g.k, g.n);
  const Coded coded(g, scratch);
  team.ParallelFor(
      0, g.m, std::max(kCodedRows, kUnitWork / (8 * g.k)), [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; ++i) {
          coded.rows[i] = kernels.code_row(
              {.a = g.a + i * g.lda, .k = g.k, .codes = coded.codes + i * coded.quads * kQuad});
        }
      });
  const int64_t units = (g.m + kBlockRows - 1) / kBlockRows * l.count;
  const int64_t work = std::min(g.m, kBlockRows) * g.k * l.width;
  const int64_t even = std::min(units / (4 * team.size()), kMostUnits);
  team.ParallelFor(0, units, std::max<int64_t>({1, kUnitWork / work, even}),
                   [&](int64_t begin, int64_t end, int) {
                     for (int64_t u = begin; u < end; ++u) {
                       RunUnit(kernels, g, l, coded, u / l.count * kBlockRows, u % l.count);
                     }
                   });
}

}  // namespace rlx::cpu
