// SPDX-License-Identifier: Apache-2.0
// What the inner kernels of convolution and pooling are told.
#pragma once

#include <cstdint>

#include "backends/cpu/math/window.h"

namespace rlx::cpu {

// One panel of the matrix B[k, pixel] whose columns are windows laid out: row k = (channel, i, j),
// columns = output pixels [pixel, pixel + columns). Columns past that are zeros.
struct UnfoldTask {
  const Window2d* window = nullptr;
  const float* x = nullptr;  // first of `channels` planes
  int64_t channels = 0;
  int64_t pixel = 0;
  int columns = 0, vectors = 0;
  float* out = nullptr;
};

// A plane with its padding written out. Whole vectors are read even where an output row ends: as
// many floats as a vector of outputs spans may be read after the last row.
struct PaddedPlane {
  [[gnu::always_inline]] static int64_t Height(const Window2d& w) {
    return (w.out_h - 1) * w.stride_h + (w.kernel_h - 1) * w.dilation_h + 1;
  }
  [[gnu::always_inline]] static int64_t Width(const Window2d& w) {
    return (w.out_w - 1) * w.stride_w + (w.kernel_w - 1) * w.dilation_w + 1;
  }
  [[gnu::always_inline]] static int64_t Slack(const Window2d& w) { return 16 * w.stride_w; }
  [[gnu::always_inline]] static int64_t Floats(const Window2d& w) {
    return Height(w) * Width(w) + Slack(w);
  }
};

// Copies a plane to its padded form.
struct PadTask {
  const Window2d* window = nullptr;
  const float* x = nullptr;
  float value = 0;
  bool borders = true;  // false: the padding stands there from the last plane of this window
  float* out = nullptr;
};

// One output plane from one padded plane.
struct DepthwiseTask {
  const Window2d* window = nullptr;
  const float* padded = nullptr;
  const float* w = nullptr;  // [kernel_h, kernel_w]
  float bias = 0;
  float* y = nullptr;
};

// y = max over the window, or sum over the window times row_factor[y] column_factor[x].
struct PoolTask {
  const Window2d* window = nullptr;
  const float* padded = nullptr;
  const float* row_factor = nullptr;     // [out_h]; null: the maximum
  const float* column_factor = nullptr;  // [out_w]
  float* y = nullptr;
};

}  // namespace rlx::cpu
