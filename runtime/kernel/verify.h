// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <absl/status/status.h>

#include "runtime/kernel/kernel.h"

namespace rlx::kernel {

// Checks every rule of the IR. A broken one is a bug of whoever made the kernel: kInternal, naming
// kernel, instruction and rule ("add: %13 add: operand 2 is i64, not f32").
absl::Status Verify(const Kernel& kernel);

}  // namespace rlx::kernel
