// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "runtime/base/thread_pool.h"
#include "runtime/device/backend.h"

namespace rlx::cpu {

struct MathKernels;

// What executables run with: the device's threads, and the kernels for its processor.
struct Host {
  std::shared_ptr<ThreadPool> pool;
  int threads = 1;
  const MathKernels* math = nullptr;
};

// Maps the program's object code and resolves routines and kernels by name; DataLoss when one is
// missing.
absl::StatusOr<std::shared_ptr<const device::Executable>> LoadExecutable(
    std::shared_ptr<const device::Program> program, const Host& host);

}  // namespace rlx::cpu
