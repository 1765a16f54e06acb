// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "backends/cuda/launch_notes.h"
#include "backends/cuda/matmul.h"
#include "runtime/device/program.h"

namespace rlx::cuda {

// A step with its names resolved.
struct Prepared {
  const device::Step* step = nullptr;
  CUfunction function = nullptr;
  int lanes = 1;
  LaunchNotes notes = {};
  std::unique_ptr<MatMul> product;
  int64_t copy_bytes = 0;
};

// Where steps are put, and how.
struct IssueTo {
  CUstream stream = nullptr;
  std::span<const CUdeviceptr> addresses;  // of all buffers, by number
  CUdeviceptr workspace = 0;
  std::span<const Event> marks = {};  // one before the first step and one behind each, or none
  // No step writes weights: a launch may begin before the one before it ends, where there is no
  // mark between them.
  bool overlap = false;
};

// Puts steps on a stream, in their order.
absl::Status IssueSteps(const Gpu& gpu, std::span<const Prepared> steps, const IssueTo& to);

}  // namespace rlx::cuda
