// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <mutex>
#include <utility>

#include "runtime/base/status.h"

namespace rlx::engine {

// The budget for WeightSets and arenas. Thread safe. Outlives its reservations.
class HostMemory {
 public:
  // `evict_one` frees something that nobody uses and says whether there was such a thing. It is
  // called without locks held here.
  HostMemory(int64_t limit, std::function<bool()> evict_one)
      : limit_(limit), evict_one_(std::move(evict_one)) {}

  // Bytes taken from the budget until destroyed.
  class Reservation {
   public:
    Reservation() = default;
    Reservation(Reservation&& other) noexcept { *this = std::move(other); }
    Reservation& operator=(Reservation&& other) noexcept {
      std::swap(memory_, other.memory_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~Reservation() { Resize(0); }
    int64_t bytes() const { return bytes_; }
    // What it turned out to be; checked against nothing.
    void Resize(int64_t bytes);

   private:
    friend class HostMemory;
    HostMemory* memory_ = nullptr;
    int64_t bytes_ = 0;
  };

  // Evicts until it fits; ResourceExhausted (limit host_memory_bytes) when nothing more can go.
  absl::StatusOr<Reservation> Reserve(int64_t bytes);

  int64_t limit() const { return limit_; }
  int64_t used() const {
    std::lock_guard lock(mutex_);
    return used_;
  }
  // The most that was ever in use at once.
  int64_t peak() const {
    std::lock_guard lock(mutex_);
    return peak_;
  }

 private:
  bool TryTake(int64_t bytes);
  void Add(int64_t bytes);  // under the lock

  const int64_t limit_;
  const std::function<bool()> evict_one_;
  mutable std::mutex mutex_;
  int64_t used_ = 0;
  int64_t peak_ = 0;
};

}  // namespace rlx::engine
