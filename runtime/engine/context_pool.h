// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <set>

#include "runtime/device/backend.h"
#include "runtime/engine/host_memory.h"

namespace rlx::engine {

// Execution contexts of one executable: made when wanted, up to a number, then lent in turn. Those
// that nobody uses go when their memory is wanted elsewhere, and are made anew. Thread safe.
class ContextPool {
 public:
  // All pools of an engine.
  class Table {
   public:
    // Over all pools.
    std::atomic<int64_t> contexts{0}, bytes{0}, waiting{0}, evicted{0};

    // Frees the context that has been idle the longest; false when all are in use.
    bool EvictOne();

   private:
    friend class ContextPool;
    std::mutex mutex_;  // taken before any pool's
    std::set<ContextPool*> pools_;
  };

  // `memory` and `table` outlive it; `max` >= 1.
  ContextPool(std::shared_ptr<const device::Executable> executable, int max, HostMemory& memory,
              Table& table);
  ~ContextPool();  // All contexts must have been given back.

  // A context and what belongs to it.
  struct Slot {
    std::unique_ptr<device::ExecContext> context;
    HostMemory::Reservation memory;
    std::vector<std::string> spare;   // by output: memory for those that nobody asked for
    std::vector<std::string> padded;  // by input, then output: tensors at capacity
    double used_seconds = 0;          // MonotonicSeconds when it was given back
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
  template <class Condition>
  absl::Status WaitUntil(std::unique_lock<std::mutex>& lock, const CancelToken& cancel,
                         Condition condition);
  bool MayGrowLocked() const { return slots_.size() + making_ < max_; }
  double OldestIdle();  // when it was last used; infinity: none is idle
  std::unique_ptr<Slot> TakeOldestIdle();

  const std::shared_ptr<const device::Executable> executable_;
  const size_t max_;
  HostMemory& memory_;
  Table& table_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<std::unique_ptr<Slot>> slots_;  // guarded by mutex_, as below
  std::vector<Slot*> free_;                   // last used last
  size_t making_ = 0;
};

}  // namespace rlx::engine
