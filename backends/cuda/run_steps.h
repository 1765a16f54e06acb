// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "backends/cuda/matmul.h"
#include "runtime/device/program.h"

namespace rlx::cuda {

// A step with its names resolved.
struct Prepared {
  const device::Step* step = nullptr;
  CUfunction function = nullptr;
  int lanes = 1;
  std::unique_ptr<MatMul> product;
  int64_t copy_bytes = 0;
};

// Puts steps on a stream, in their order. `addresses` of all buffers by number; `marks` gets one
// event a step and one before the first, or is empty.
absl::Status IssueSteps(const Gpu& gpu, std::span<const Prepared> steps,
                        std::span<const CUdeviceptr> addresses, CUdeviceptr workspace,
                        CUstream stream, std::span<const Event> marks = {});

}  // namespace rlx::cuda
