// SPDX-License-Identifier: Apache-2.0
#include "runtime/cache/memory_store.h"

#include "runtime/base/clock.h"

namespace rlx::cache {
namespace {

uint64_t Cost(const SharedBytes& value) { return value.size() + MemoryStore::kEntryBytes; }

}  // namespace

MemoryStore::MemoryStore(uint64_t limit_bytes) {
  stats_.tier = tier();
  stats_.limit_bytes = limit_bytes;
}

std::optional<Hit> MemoryStore::Get(const Digest256& key) {
  std::lock_guard lock(mutex_);
  Entry* entry = entries_.Use(key);
  if (entry == nullptr) {
    ++stats_.misses;
    return std::nullopt;
  }
  ++stats_.hits;
  entry->used_seconds = MonotonicSeconds();
  return Hit{entry->value, tier()};
}

void MemoryStore::Put(const Digest256& key, const SharedBytes& value) {
  uint64_t cost = Cost(value);
  std::lock_guard lock(mutex_);
  EraseLocked(key);
  if (cost > stats_.limit_bytes) return;
  while (stats_.size_bytes > stats_.limit_bytes - cost) {
    auto oldest = entries_.entries().back();
    stats_.evicted_bytes += Cost(oldest.second.value);
    EraseLocked(oldest.first);
  }
  entries_.Insert(key, Entry{value, MonotonicSeconds()});
  stats_.size_bytes += cost;
  ++stats_.puts;
}

void MemoryStore::Touch(const Digest256& key) {
  std::lock_guard lock(mutex_);
  if (Entry* entry = entries_.Use(key)) entry->used_seconds = MonotonicSeconds();
}

bool MemoryStore::EraseLocked(const Digest256& key) {
  std::optional<Entry> entry = entries_.Erase(key);
  if (!entry) return false;
  stats_.size_bytes -= Cost(entry->value);
  return true;
}

void MemoryStore::Remove(const Digest256& key) {
  std::lock_guard lock(mutex_);
  EraseLocked(key);
}

void MemoryStore::RemoveCorrupt(const Digest256& key) {
  std::lock_guard lock(mutex_);
  if (EraseLocked(key)) ++stats_.corrupt;
}

Cleared MemoryStore::Clear() {
  std::lock_guard lock(mutex_);
  Cleared cleared{.entries = entries_.size(), .bytes = stats_.size_bytes};
  entries_.Clear();
  stats_.size_bytes = 0;
  return cleared;
}

std::vector<EntryInfo> MemoryStore::List() const {
  double now = MonotonicSeconds();
  std::lock_guard lock(mutex_);
  std::vector<EntryInfo> list;
  for (const auto& [key, entry] : entries_.entries()) {
    list.push_back({key, entry.value.size(), now - entry.used_seconds, {tier()}});
  }
  return list;
}

TierStats MemoryStore::Stats() const {
  std::lock_guard lock(mutex_);
  TierStats stats = stats_;
  stats.entries = entries_.size();
  if (!entries_.empty()) {
    stats.longest_idle_seconds = MonotonicSeconds() - entries_.entries().back().second.used_seconds;
  }
  return stats;
}

}  // namespace rlx::cache
