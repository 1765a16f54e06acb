// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "runtime/kernel/kernel.h"

namespace rlx::kernel::test {

// Kernels as lowering makes them for a GPU, a few of every shape; names differ.
std::vector<Kernel> GpuKernels();

// Kernels that between them have every op on every type that it takes, and every cast.
std::vector<Kernel> EveryOp();

}  // namespace rlx::kernel::test
