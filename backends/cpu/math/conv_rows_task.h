// SPDX-License-Identifier: Apache-2.0
// What the inner kernels of convolution and pooling with channels last are told.
#pragma once

#include <cstdint>

#include "backends/cpu/math/panel_task.h"
#include "backends/cpu/math/window.h"

namespace rlx::cpu {

// A product whose left rows are windows where they lie: row i is `segments` runs of `depth` floats,
// at places[i] + offsets[s]; k counts through them in turn. `out.rows` of them meet one panel of
// packed weights; out.a and out.k are not looked at.
struct WindowRowsTask {
  const float* const* places = nullptr;
  const int64_t* offsets = nullptr;
  int64_t segments = 0, depth = 0;
  PanelTask out;
};

// Output rows [row, row + rows) of one image, channels [channel, channel + channels); a channel
// sees itself alone.
struct DepthwiseRowsTask {
  const Window2d* window = nullptr;
  int64_t all_channels = 0;
  int64_t row = 0, rows = 0;
  int64_t channel = 0, channels = 0;
  const float* x = nullptr;     // the image
  const float* w = nullptr;     // [kernel_h, kernel_w, all_channels]
  const float* bias = nullptr;  // [all_channels] or null
  float* y = nullptr;           // the image's result
  Activation activation = {};
  const float* residual = nullptr;  // shaped as y, or null; added before the activation
};

// The same of a pool.
struct PoolRowsTask {
  const Window2d* window = nullptr;
  int64_t all_channels = 0;
  int64_t row = 0, rows = 0;
  int64_t channel = 0, channels = 0;
  bool largest = true;        // else the mean
  bool whole_window = false;  // which padding counts in
  const float* x = nullptr;
  float* y = nullptr;
};

}  // namespace rlx::cpu
