// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "backends/cuda/gpu.h"
#include "runtime/device/backend.h"

namespace rlx::cuda {

// Loads the program's code onto the device and has cuBLASLt choose its algorithms; DataLoss when
// the object or a step is not what this back end makes.
absl::StatusOr<std::shared_ptr<const device::Executable>> LoadExecutable(
    std::shared_ptr<const Gpu> gpu, std::shared_ptr<const device::Program> program);

}  // namespace rlx::cuda
