// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>

#include "runtime/device/backend.h"
#include "runtime/engine/host_memory.h"

namespace rlx::engine {

// Execution contexts of one executable: made when wanted, up to a number, then lent in turn. Thread
// safe.
class ContextPool {
 public:
  // Counts over all pools of an engine.
  struct Counters {
    std::atomic<int64_t> contexts{0}, bytes{0}, waiting{0};
  };

  // `memory` and `counters` outlive it; `max` >= 1.
  ContextPool(std::shared_ptr<const device::Executable> executable, int max, HostMemory& memory,
              Counters& counters);
  ~ContextPool();  // All contexts must have been given back.

  // A context and what belongs to it.
  struct Slot {
    std::unique_ptr<device::ExecContext> context;
    HostMemory::Reservation memory;
    std::vector<std::string> spare;   // by output: memory for those that nobody asked for
    std::vector<std::string> padded;  // by input, then output: tensors at capacity
  };
  // The right to use one context, until destroyed.
  class Lease {
   public:
    Lease(ContextPool& pool, Slot* slot) : pool_(&pool), slot_(slot) {}
    Lease(Lease&& other) noexcept
        : pool_(other.pool_), slot_(std::exchange(other.slot_, nullptr)) {}
    ~Lease() {
      if (slot_ != nullptr) pool_->GiveBack(slot_);
    }
    Slot* operator->() const { return slot_; }

   private:
    ContextPool* pool_;
    Slot* slot_;
  };

  // Waits while all are lent, or while there is no memory for another. ResourceExhausted when there
  // is not even memory for one.
  absl::StatusOr<Lease> Acquire(const CancelToken& cancel);

 private:
  absl::StatusOr<std::unique_ptr<Slot>> Make();
  void GiveBack(Slot* slot);
  absl::Status WaitForFree(std::unique_lock<std::mutex>& lock, const CancelToken& cancel);

  const std::shared_ptr<const device::Executable> executable_;
  const size_t max_;
  HostMemory& memory_;
  Counters& counters_;
  std::mutex mutex_;
  std::condition_variable_any given_back_;
  std::vector<std::unique_ptr<Slot>> slots_;  // guarded by mutex_, as below
  std::vector<Slot*> free_;
  size_t making_ = 0;
};

}  // namespace rlx::engine
