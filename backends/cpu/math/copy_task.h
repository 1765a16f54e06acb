// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace rlx::cpu {

// `bytes` bytes from one place to another that does not overlap it. No alignment is needed.
struct CopyTask {
  const char* from = nullptr;
  char* to = nullptr;
  int64_t bytes = 0;
};

}  // namespace rlx::cpu
