// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "runtime/device/backend.h"

namespace rlx::test {

// What a GPU's back end gets from device/generate, run by the kernel IR's interpreter: the kernels
// of its schedule, with narrowed indices and expanded reductions, where every access is checked.
// For small tensors: it takes a microsecond a lane and instruction.
std::unique_ptr<device::Backend> MakeInterpretingBackend();

}  // namespace rlx::test
