// SPDX-License-Identifier: Apache-2.0
// Three ways. Depthwise: each output plane from its padded input plane. Otherwise the weights [o,
// k] times the unfolded windows [k, pixel], k = (channel, i, j), which gives planes as they lie in
// memory: either every thread unfolds the panels of pixels that it multiplies and uses them from
// L1, or, where there are few pixels, all panels are unfolded first and the output channels are
// split as well.
#include "backends/cpu/math/conv.h"

#include <algorithm>

#include "backends/cpu/math/conv_task.h"
#include "backends/cpu/math/panel_task.h"
#include "backends/cpu/math/panels.h"
#include "runtime/base/thread_pool.h"

namespace rlx::cpu {
namespace {

constexpr int64_t kBlockRows = 64;  // output channels in a unit of work, where they are split

bool IsDepthwise(const Conv2d& c) { return c.groups > 1 && c.in_channels == c.groups; }

// A 1 x 1 window on every pixel: the plane may as well be one row.
Window2d Flattened(const Window2d& w) {
  const bool pointwise = w.taps() == 1 && w.stride_h == 1 && w.stride_w == 1 && w.pad_top == 0 &&
                         w.pad_left == 0 && w.in_h == w.out_h && w.in_w == w.out_w;
  if (!pointwise) return w;
  return {.in_w = w.in_plane(), .out_w = w.out_plane()};
}

// The product that a convolution is, for one image and one group at a time.
struct Product {
  Product(const MathKernels& kernels_in, const Conv2d& conv)
      : kernels(kernels_in),
        c(conv),
        window(Flattened(conv.window)),
        pixels(window.out_plane()),
        channels(c.in_channels / c.groups),
        rows(c.out_channels / c.groups),
        k(channels * window.taps()),
        panels(kernels, pixels) {}

  int64_t images() const { return c.batch * c.groups; }
  int64_t panel_floats() const { return k * kernels.panel_width(); }
  bool SplitsPixels(int threads) const { return images() * panels.count() >= 4 * threads; }

  void Unfold(int64_t image, const Panel& panel, float* out) const {
    const float* x = c.x + image * channels * window.in_plane();
    kernels.unfold({.window = &window,
                    .x = x,
                    .channels = channels,
                    .pixel = panel.begin,
                    .columns = panel.columns,
                    .vectors = panel.vectors,
                    .out = out});
  }

  // Output channels [row, row + count) of the group, for the pixels of one unfolded panel.
  void Multiply(int64_t image, const Panel& panel, const float* unfolded, int64_t row,
                int64_t count) const {
    const int64_t o = image % c.groups * rows + row;
    const int64_t at = (image / c.groups * c.out_channels + o) * pixels + panel.begin;
    kernels.gemm_panel({.rows = count,
                        .k = k,
                        .a = c.w + o * k,
                        .lda = k,
                        .b = unfolded,
                        .next_b = unfolded,
                        .columns = panel.columns,
                        .vectors = panel.vectors,
                        .c = c.y + at,
                        .ldc = pixels,
                        .row_bias = c.bias == nullptr ? nullptr : c.bias + o,
                        .activation = c.activation,
                        .residual = c.residual == nullptr ? nullptr : c.residual + at,
                        .ld_residual = pixels});
  }

  const MathKernels& kernels;
  const Conv2d& c;
  const Window2d window;
  const int64_t pixels, channels, rows, k;
  const Panels panels;
};

void SplitPixels(const Product& p, Team& team, float* scratch) {
  const int64_t panels = p.panels.count();
  team.ParallelFor(0, p.images() * panels, 1, [&](int64_t unit, int64_t, int member) {
    float* mine = scratch + member * p.panel_floats();
    const Panel panel = p.panels.At(unit % panels);
    p.Unfold(unit / panels, panel, mine);
    p.Multiply(unit / panels, panel, mine, 0, p.rows);
  });
}

void SplitChannels(const Product& p, Team& team, float* unfolded) {
  const int64_t panels = p.panels.count(), blocks = (p.rows + kBlockRows - 1) / kBlockRows;
  for (int64_t image = 0; image < p.images(); ++image) {
    team.ParallelFor(0, panels, 1, [&](int64_t i, int64_t, int) {
      const Panel panel = p.panels.At(i);
      p.Unfold(image, panel, unfolded + panel.begin * p.k);
    });
    team.ParallelFor(0, panels * blocks, 1, [&](int64_t unit, int64_t, int) {
      const Panel panel = p.panels.At(unit % panels);
      const int64_t row = unit / panels * kBlockRows;
      p.Multiply(image, panel, unfolded + panel.begin * p.k, row,
                 std::min(kBlockRows, p.rows - row));
    });
  }
}

// Output plane `plane` from its padded input plane; activation and residual while it is in the
// cache.
void DepthwisePlane(const MathKernels& kernels, const Conv2d& c, int64_t plane,
                    const float* padded) {
  const Window2d& w = c.window;
  const int64_t o = plane % c.out_channels, at = plane * w.out_plane();
  kernels.depthwise({.window = &w,
                     .padded = padded,
                     .w = c.w + o * w.taps(),
                     .bias = c.bias == nullptr ? 0 : c.bias[o],
                     .y = c.y + at});
  kernels.finish({.columns = static_cast<int>(w.out_w),
                  .c = c.y + at,
                  .ldc = w.out_w,
                  .activation = c.activation,
                  .residual = c.residual == nullptr ? nullptr : c.residual + at,
                  .ld_residual = w.out_w},
                 0, w.out_h);
}

void Depthwise(const MathKernels& kernels, const Conv2d& c, Team& team, float* scratch) {
  const Window2d& w = c.window;
  const int64_t planes = c.batch * c.out_channels, each = c.out_channels / c.groups;
  const int64_t grain = std::max<int64_t>(1, planes / (8 * team.size()));
  team.ParallelFor(0, planes, grain, [&](int64_t begin, int64_t end, int member) {
    float* padded = scratch + member * PaddedPlane::Floats(w);
    for (int64_t plane = begin; plane < end; ++plane) {
      if (plane == begin || plane % each == 0) {
        kernels.pad_plane({.window = &w,
                           .x = c.x + plane / each * w.in_plane(),
                           .borders = plane == begin,
                           .out = padded});
      }
      DepthwisePlane(kernels, c, plane, padded);
    }
  });
}

}  // namespace

size_t ConvScratchBytes(const MathKernels& kernels, const Conv2d& conv, int threads) {
  if (IsDepthwise(conv)) return threads * PaddedPlane::Floats(conv.window) * sizeof(float);
  const Product p(kernels, conv);
  const int64_t own = threads * p.panel_floats(), all = p.panels.width() * p.k;
  return (p.SplitsPixels(threads) ? own : std::max(own, all)) * sizeof(float);
}

void Conv(const MathKernels& kernels, const Conv2d& conv, Team& team, void* scratch) {
  float* floats = static_cast<float*>(scratch);
  if (IsDepthwise(conv)) return Depthwise(kernels, conv, team, floats);
  const Product product(kernels, conv);
  product.SplitsPixels(team.size()) ? SplitPixels(product, team, floats)
                                    : SplitChannels(product, team, floats);
}

}  // namespace rlx::cpu
