// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>

#include "runtime/base/sha256.h"
#include "runtime/cache/lru_map.h"
#include "runtime/device/backend.h"
#include "runtime/engine/host_memory.h"

namespace rlx::engine {

// Weights bound on a device, with the budget they take.
struct WeightSet {
  std::shared_ptr<const device::Weights> weights;
  HostMemory::Reservation memory;
};

// WeightSets by content: who binds what is bound already shares it. Those that nobody uses stay
// until their memory is wanted. Thread safe.
class WeightTable {
 public:
  using Evicted = std::function<void(int64_t bytes)>;
  explicit WeightTable(Evicted evicted) : evicted_(std::move(evicted)) {}

  // A user of a WeightSet, as long as it lives; the table outlives it.
  class Use {
   public:
    Use() = default;
    Use(Use&& other) noexcept { *this = std::move(other); }
    Use& operator=(Use&& other) noexcept {
      std::swap(table_, other.table_);
      std::swap(key_, other.key_);
      std::swap(set_, other.set_);
      return *this;
    }
    ~Use();
    const device::Weights& weights() const { return *set_->weights; }
    int64_t bytes() const { return set_->memory.bytes(); }

   private:
    friend class WeightTable;
    WeightTable* table_ = nullptr;
    Digest256 key_;
    std::shared_ptr<const WeightSet> set_;
  };

  struct Bound {
    Use use;
    bool shared = false;  // was there already
  };
  // The set under `key`, made by `bind` if it is not there. Who finds someone else binding it
  // waits; should that fail, the next one tries.
  absl::StatusOr<Bound> Get(const Digest256& key,
                            const std::function<absl::StatusOr<WeightSet>()>& bind,
                            const CancelToken& cancel);

  // Drops the set that has been unused the longest; false when all are used.
  bool EvictOne();

  struct Stats {
    int64_t sets = 0, idle_sets = 0, bytes = 0, idle_bytes = 0;
  };
  Stats stats() const;

 private:
  using Entry = std::shared_ptr<const WeightSet>;  // null while it is being bound
  Use UseOf(const Digest256& key, const Entry& set);
  static bool Idle(const Entry& set) { return set != nullptr && set.use_count() == 1; }

  const Evicted evicted_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  cache::LruMap<Digest256, Entry> sets_;  // order: last begun or ended use
};

}  // namespace rlx::engine
