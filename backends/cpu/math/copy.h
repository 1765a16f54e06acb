// SPDX-License-Identifier: Apache-2.0
// Copying of long runs of bytes, as memory allows it: what a concatenation or a cache that grows
// is made of.
#pragma once

#include <cstdint>

#include "backends/cpu/math/kernels.h"

namespace rlx {
class Team;
}

namespace rlx::cpu {

// `count` runs of `bytes` each: the first of each pointer, the others so many bytes further.
// Nothing overlaps.
struct CopyRuns {
  const void* from = nullptr;
  void* to = nullptr;
  int64_t count = 1, bytes = 0;
  int64_t from_step = 0, to_step = 0;
};
void Copy(const MathKernels& kernels, const CopyRuns& copy, Team& team);

}  // namespace rlx::cpu
