// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/host_memory.h"

#include <algorithm>

#include "runtime/base/fault.h"

namespace rlx::engine {

void HostMemory::Reservation::Resize(int64_t bytes) {
  if (memory_ == nullptr) return;
  std::lock_guard lock(memory_->mutex_);
  memory_->Add(bytes - bytes_);
  bytes_ = bytes;
}

void HostMemory::Add(int64_t bytes) {
  used_ += bytes;
  peak_ = std::max(peak_, used_);
}

bool HostMemory::TryTake(int64_t bytes) {
  std::lock_guard lock(mutex_);
  if (bytes > limit_ - used_) return false;
  Add(bytes);
  return true;
}

absl::StatusOr<HostMemory::Reservation> HostMemory::Reserve(int64_t bytes) {
  while (!TryTake(bytes)) {
    if (bytes <= limit_ && evict_one_()) continue;
    absl::Status refused =
        WithLimit(ResourceExhausted(bytes, " bytes of host memory are wanted, more than is left"),
                  "host_memory_bytes", static_cast<uint64_t>(limit_));
    return bytes <= limit_ ? TryLater(std::move(refused)) : refused;
  }
  Reservation reservation;
  reservation.memory_ = this;
  reservation.bytes_ = bytes;
  return reservation;
}

}  // namespace rlx::engine
