// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "absl/status/statusor.h"
#include "runtime/base/status.h"

namespace rlx::cpu {

// Uninitialised memory, aligned to 64 bytes; from 2 MiB on to huge pages, which the kernel is asked
// for.
class AlignedMemory {
 public:
  AlignedMemory() = default;

  // ResourceExhausted when there is none.
  static absl::StatusOr<AlignedMemory> Allocate(int64_t bytes) {
    constexpr int64_t kHuge = int64_t{2} << 20;
    const int64_t alignment = bytes >= kHuge ? kHuge : 64;
    const int64_t padded = (bytes + alignment - 1) / alignment * alignment;
    AlignedMemory memory;
    if (bytes == 0) return memory;
    memory.data_.reset(static_cast<std::byte*>(
        std::aligned_alloc(static_cast<size_t>(alignment), static_cast<size_t>(padded))));
    if (memory.data_ == nullptr) return ResourceExhausted("no memory for ", bytes, " bytes");
    memory.bytes_ = padded;
    if (alignment == kHuge) {
      madvise(memory.data_.get(), static_cast<size_t>(padded), MADV_HUGEPAGE);
    }
    return memory;
  }

  std::byte* data() const { return data_.get(); }
  int64_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte, Free> data_;
  int64_t bytes_ = 0;
};

}  // namespace rlx::cpu
