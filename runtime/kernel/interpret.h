// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <absl/status/status.h>

#include <span>

#include "runtime/kernel/kernel.h"

namespace rlx::kernel {

struct BufferView {
  void* data = nullptr;  // elements of the parameter's type, aligned to it; not owned
  int64_t elements = 0;
};

// Runs groups [group_begin, group_end) of a verified kernel, one lane after the other, the lanes of
// a group in lockstep: what this does is what a kernel means. `scalars` as in a launch (f32: the
// low half).
//
// kInternal, naming instruction and lane, for what a kernel must never do: access outside a buffer,
// read shared memory nobody has written, overflow index arithmetic, store different values to one
// element from different lanes at once. kInvalidArgument when the arguments do not fit the kernel's
// signature. Buffers then hold whatever was written before.
absl::Status Interpret(const Kernel& kernel, std::span<const BufferView> buffers,
                       std::span<const int64_t> scalars, int64_t group_begin, int64_t group_end);

}  // namespace rlx::kernel
