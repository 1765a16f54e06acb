// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "runtime/kernel/kernel.h"

namespace rlx::kernel::test {

// Buffers of a random kernel, all of kRandomElements elements: inputs f32, i32, i64, bool, then
// outputs f32, i32, i64, bool. It takes one scalar, i64, and runs in kRandomElements / local
// groups, whose lanes store to their own elements alone.
inline constexpr int64_t kRandomElements = 128;

// A verified kernel of arithmetic whose results do not depend on rounding freedom (no fma, no
// functions), with nested ifs and loops, cells, shared memory, reductions, and loads at computed
// places. The same seed gives the same kernel.
Kernel RandomKernel(uint64_t seed, int local);

}  // namespace rlx::kernel::test
