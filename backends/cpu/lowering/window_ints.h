// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "backends/cpu/math/window.h"

// How a window travels in the ints of a step: the first of every routine that has one.
namespace rlx::cpu {

enum WindowInt : size_t {
  kInH,
  kInW,
  kOutH,
  kOutW,
  kKernelH,
  kKernelW,
  kStrideH,
  kStrideW,
  kDilationH,
  kDilationW,
  kPadTop,
  kPadLeft,
  kWindowInts,
};

inline Window2d WindowOf(const std::vector<int64_t>& i) {
  return {.in_h = i[kInH],
          .in_w = i[kInW],
          .out_h = i[kOutH],
          .out_w = i[kOutW],
          .kernel_h = i[kKernelH],
          .kernel_w = i[kKernelW],
          .stride_h = i[kStrideH],
          .stride_w = i[kStrideW],
          .dilation_h = i[kDilationH],
          .dilation_w = i[kDilationW],
          .pad_top = i[kPadTop],
          .pad_left = i[kPadLeft]};
}

// One value per spatial dim; a single one is the width, and the height then `alone`.
inline void SetPair(std::vector<int64_t>& ints, WindowInt h, WindowInt w,
                    std::span<const int64_t> values, int64_t alone) {
  ints[h] = values.size() == 2 ? values[0] : alone;
  ints[w] = values.back();
}

}  // namespace rlx::cpu
