// SPDX-License-Identifier: Apache-2.0
// How n columns are cut into panels; see panel_task.h for the picture.
#pragma once

#include <cstdint>

#include "backends/cpu/math/kernels.h"
#include "backends/cpu/math/panel_task.h"

namespace rlx::cpu {

class Panels {
 public:
  Panels(const MathKernels& kernels, int64_t n)
      : n_(n),
        lanes_(kernels.lanes),
        full_(kernels.panel_vectors),
        vectors_((n + lanes_ - 1) / lanes_),
        count_((vectors_ + full_ - 1) / full_) {}

  int64_t count() const { return count_; }
  int64_t width() const { return vectors_ * lanes_; }  // floats across all panels

  Panel At(int64_t p) const {
    const int64_t begin = Start(p), end = Start(p + 1);
    const int64_t last = end * lanes_ < n_ ? end * lanes_ : n_;
    return {.begin = begin * lanes_,
            .columns = static_cast<int>(last - begin * lanes_),
            .vectors = static_cast<int>(end - begin)};
  }

 private:
  // First vector of panel p. A single vector left over takes one from the panel before.
  int64_t Start(int64_t p) const {
    if (p == count_) return vectors_;
    const bool lonely = full_ > 2 && count_ > 1 && vectors_ % full_ == 1;
    return p * full_ - (lonely && p == count_ - 1 ? 1 : 0);
  }

  int64_t n_, lanes_, full_, vectors_, count_;
};

}  // namespace rlx::cpu
