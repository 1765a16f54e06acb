// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "backends/cpu/math/conv.h"
#include "backends/cpu/math/conv_task.h"
#include "runtime/base/thread_pool.h"

namespace rlx::cpu {
namespace {

// Of `kernel` taps from `first` on, `dilation` apart, those that fall in [0, extent).
int64_t TapsInside(int64_t first, int64_t kernel, int64_t dilation, int64_t extent) {
  int64_t inside = 0;
  for (int64_t i = 0; i < kernel; ++i) {
    const int64_t at = first + i * dilation;
    inside += at >= 0 && at < extent;
  }
  return inside;
}

// What sums are multiplied by, as a product of a factor per row and one per column.
void FillFactors(const Pool2d& p, float* rows, float* columns) {
  const Window2d& w = p.window;
  const bool whole = p.kind == PoolKind::kMeanOfWindow;
  for (int64_t y = 0; y < w.out_h; ++y) {
    const int64_t n = TapsInside(y * w.stride_h - w.pad_top, w.kernel_h, w.dilation_h, w.in_h);
    rows[y] = 1.0f / static_cast<float>(whole ? w.kernel_h : n);
  }
  for (int64_t x = 0; x < w.out_w; ++x) {
    const int64_t n = TapsInside(x * w.stride_w - w.pad_left, w.kernel_w, w.dilation_w, w.in_w);
    columns[x] = 1.0f / static_cast<float>(whole ? w.kernel_w : n);
  }
}

}  // namespace

size_t PoolScratchBytes(const MathKernels&, const Pool2d& pool, int threads) {
  const Window2d& w = pool.window;
  return (threads * PaddedPlane::Floats(w) + w.out_h + w.out_w) * sizeof(float);
}

void Pool(const MathKernels& kernels, const Pool2d& pool, Team& team, void* scratch) {
  const Window2d& w = pool.window;
  const bool largest = pool.kind == PoolKind::kMax;
  float* row_factor = static_cast<float*>(scratch);
  float* column_factor = row_factor + w.out_h;
  float* padded = column_factor + w.out_w;
  if (!largest) FillFactors(pool, row_factor, column_factor);
  const int64_t grain = std::max<int64_t>(1, pool.planes / (8 * team.size()));
  team.ParallelFor(0, pool.planes, grain, [&](int64_t begin, int64_t end, int member) {
    float* mine = padded + member * PaddedPlane::Floats(w);
    for (int64_t plane = begin; plane < end; ++plane) {
      kernels.pad_plane({.window = &w,
                         .x = pool.x + plane * w.in_plane(),
                         .value = largest ? -std::numeric_limits<float>::infinity() : 0,
                         .borders = plane == begin,
                         .out = mine});
      kernels.pool_plane({.window = &w,
                          .padded = mine,
                          .row_factor = largest ? nullptr : row_factor,
                          .column_factor = column_factor,
                          .y = pool.y + plane * w.out_plane()});
    }
  });
}

}  // namespace rlx::cpu
