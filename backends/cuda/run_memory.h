// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "backends/cuda/gpu.h"
#include "runtime/device/program.h"

namespace rlx::cuda {

inline constexpr int64_t kAlignment = 256;
constexpr int64_t Aligned(int64_t bytes) { return (bytes + kAlignment - 1) & -kAlignment; }

// Tensors one behind the other in one piece of memory, each at a multiple of 256.
struct Strip {
  std::vector<int64_t> offsets;
  int64_t bytes = 0;

  int64_t Append(int64_t size) {
    offsets.push_back(bytes);
    bytes = Aligned(bytes + size);
    return offsets.back();
  }
};

// Bytes of the host on their way to the device, in parts through page-locked memory: while a part
// travels the next is copied.
class Upload {
 public:
  static absl::StatusOr<Upload> Begin(std::shared_ptr<const Gpu> gpu, CUstream stream);
  Upload(Upload&&) = default;
  ~Upload();  // waits for what is on its way
  // Returns when the last part is on its way.
  absl::Status Copy(CUdeviceptr to, std::span<const uint8_t> bytes);

 private:
  struct Part {
    Memory memory;
    Event arrived;
  };
  Upload(std::shared_ptr<const Gpu> gpu, CUstream stream) : gpu_(std::move(gpu)), stream_(stream) {}

  std::shared_ptr<const Gpu> gpu_;
  CUstream stream_;
  std::vector<Part> parts_;
  size_t next_ = 0;
};

}  // namespace rlx::cuda
