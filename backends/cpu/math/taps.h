// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "backends/cpu/math/simd_common.h"

namespace rlx::cpu {

// Of `kernel` taps, those that an output place finds inside [0, in): [begin, end).
struct TapRange {
  int64_t begin, end;
};
[[gnu::always_inline]] inline TapRange TapsAt(int64_t out, int64_t stride, int64_t pad,
                                              int64_t dilation, int64_t kernel, int64_t in) {
  const int64_t at = out * stride - pad;
  const int64_t begin = at >= 0 ? 0 : CeilDiv(-at, dilation);
  const int64_t end = at >= in ? 0 : Least(kernel, CeilDiv(in - at, dilation));
  return {Least(begin, kernel), Most(end, Least(begin, kernel))};
}

}  // namespace rlx::cpu
