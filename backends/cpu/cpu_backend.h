// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "runtime/device/backend.h"

namespace rlx::cpu {

// The CPU back end: contractions and attention by own kernels for the processor found at run time
// (math/), everything else by kernels generated through the kernel IR and LLVM (codegen/).
std::unique_ptr<device::Backend> MakeCpuBackend();

}  // namespace rlx::cpu
