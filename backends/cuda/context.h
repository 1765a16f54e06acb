// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "backends/cuda/loaded_program.h"
#include "runtime/device/backend.h"

namespace rlx::cuda {

class CudaWeights final : public device::Weights {
 public:
  int64_t bytes() const override {
    int64_t total = 0;
    for (const Memory& memory : params) total += memory.bytes();
    for (const Memory& memory : slots) total += memory.bytes();
    return total;
  }

  const int64_t id = next_id_.fetch_add(1);  // of this set alone, as long as the process lives
  std::vector<Memory> params, slots;

 private:
  inline static std::atomic<int64_t> next_id_{1};
};

inline std::vector<CUdeviceptr> AddressesOf(const std::vector<Memory>& list) {
  std::vector<CUdeviceptr> out;
  for (const Memory& memory : list) out.push_back(memory.address());
  return out;
}

absl::StatusOr<std::unique_ptr<device::ExecContext>> MakeContext(
    std::shared_ptr<const LoadedProgram> loaded);

}  // namespace rlx::cuda
