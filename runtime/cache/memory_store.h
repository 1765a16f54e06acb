// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>

#include "runtime/cache/lru_map.h"
#include "runtime/cache/store.h"

namespace rlx::cache {

// The most recently used entries in memory, up to a number of bytes. An entry counts its value and
// kEntryBytes; one larger than the whole limit is not kept. Values are shared, not copied.
class MemoryStore : public Store {
 public:
  static constexpr uint64_t kEntryBytes = 256;  // map, list node, owner

  explicit MemoryStore(uint64_t limit_bytes);

  std::string_view tier() const override { return "memory"; }
  std::optional<Hit> Get(const Digest256& key) override;
  void Put(const Digest256& key, const SharedBytes& value) override;
  void Touch(const Digest256& key) override;
  void Remove(const Digest256& key) override;
  void RemoveCorrupt(const Digest256& key) override;
  Cleared Clear() override;
  std::vector<EntryInfo> List() const override;
  TierStats Stats() const override;

 private:
  struct Entry {
    SharedBytes value;
    double used_seconds;  // MonotonicSeconds
  };

  bool EraseLocked(const Digest256& key);

  mutable std::mutex mutex_;
  LruMap<Digest256, Entry> entries_;  // guarded by mutex_
  TierStats stats_;                   // guarded by mutex_
};

}  // namespace rlx::cache
