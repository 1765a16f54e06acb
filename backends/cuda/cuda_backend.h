// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "runtime/device/backend.h"

namespace rlx::cuda {

// NVIDIA's GPUs: contractions by cuBLASLt, everything else by kernels generated through the kernel
// IR and NVRTC. Compiles where NVRTC is, runs where the driver is.
std::unique_ptr<device::Backend> MakeCudaBackend();

}  // namespace rlx::cuda
