// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "runtime/base/cancel.h"

namespace rlx {

// Looks at a token once in so much work: for loops whose turns cost less than reading the clock.
// One thread's; the token outlives it.
class PacedCheck {
 public:
  // About a millisecond of plain arithmetic.
  static constexpr int64_t kEvery = int64_t{1} << 20;

  explicit PacedCheck(const CancelToken& token) : token_(token) {}

  // Counts `work` operations; true once the token is done, and from then on.
  bool Done(int64_t work) {
    left_ -= work;
    if (left_ > 0 || done_) return done_;
    left_ = kEvery;
    done_ = token_.done();
    return done_;
  }

 private:
  const CancelToken& token_;
  int64_t left_ = kEvery;
  bool done_ = false;
};

}  // namespace rlx
