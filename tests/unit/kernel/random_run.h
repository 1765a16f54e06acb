// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "runtime/kernel/interpret.h"
#include "tests/support/random_kernel.h"

namespace rlx::kernel::test {

inline constexpr int64_t kRandomScalar = 17;

// What a kernel with a random kernel's parameters leaves in its buffers, as bytes.
inline std::vector<std::vector<int64_t>> RunRandom(const Kernel& kernel) {
  std::vector<std::vector<int64_t>> memory;
  for (const BufferParam& buffer : kernel.buffers) {
    std::vector<int64_t>& bytes = memory.emplace_back(kRandomElements);
    for (int64_t i = 0; i < kRandomElements; ++i) {
      if (buffer.type == Type::kF32) {
        reinterpret_cast<float*>(bytes.data())[i] = static_cast<float>(i) - 50;
      } else if (buffer.type == Type::kI64) {
        bytes[static_cast<size_t>(i)] = 3 * i - 70;
      }
    }
  }
  std::vector<BufferView> views;
  for (auto& bytes : memory) views.push_back({bytes.data(), kRandomElements});
  const absl::Status status =
      Interpret(kernel, views, {&kRandomScalar, 1}, 0, kRandomElements / kernel.local);
  EXPECT_TRUE(status.ok()) << status;
  return memory;
}

}  // namespace rlx::kernel::test
