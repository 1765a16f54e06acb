// SPDX-License-Identifier: Apache-2.0
// The geometry that convolution and pooling share: a window over planes of height x width.
#pragma once

#include <cstdint>

namespace rlx::cpu {

// Output (y, x) looks at inputs (y stride_h + i dilation_h - pad_top, x stride_w + j dilation_w -
// pad_left) for i < kernel_h, j < kernel_w; those outside the plane are padding. Every out extent
// is given, so that padding at the bottom and the right needs no field.
struct Window2d {
  int64_t in_h = 1, in_w = 1, out_h = 1, out_w = 1;
  int64_t kernel_h = 1, kernel_w = 1;
  int64_t stride_h = 1, stride_w = 1;
  int64_t dilation_h = 1, dilation_w = 1;
  int64_t pad_top = 0, pad_left = 0;

  [[gnu::always_inline]] int64_t in_plane() const { return in_h * in_w; }
  [[gnu::always_inline]] int64_t out_plane() const { return out_h * out_w; }
  [[gnu::always_inline]] int64_t taps() const { return kernel_h * kernel_w; }
};

}  // namespace rlx::cpu
