// SPDX-License-Identifier: Apache-2.0
#include "runtime/cache/tiered_store.h"

#include <algorithm>
#include <unordered_map>

#include "runtime/base/clock.h"

namespace rlx::cache {

std::optional<Hit> TieredStore::GetFrom(Store& tier, const Digest256& key) {
  const double began = MonotonicSeconds();
  std::optional<Hit> hit = tier.Get(key);
  if (observer_) observer_(tier.tier(), "get", MonotonicSeconds() - began);
  return hit;
}

void TieredStore::PutInto(Store& tier, const Digest256& key, const SharedBytes& value) {
  const double began = MonotonicSeconds();
  tier.Put(key, value);
  if (observer_) observer_(tier.tier(), "put", MonotonicSeconds() - began);
}

std::optional<Hit> TieredStore::Get(const Digest256& key) {
  for (size_t i = 0; i < tiers_.size(); ++i) {
    std::optional<Hit> hit = GetFrom(*tiers_[i], key);
    if (!hit) continue;
    for (size_t faster = 0; faster < i; ++faster) PutInto(*tiers_[faster], key, hit->value);
    for (size_t slower = i + 1; slower < tiers_.size(); ++slower) tiers_[slower]->Touch(key);
    return hit;
  }
  return std::nullopt;
}

void TieredStore::Put(const Digest256& key, const SharedBytes& value) {
  for (const auto& store : tiers_) PutInto(*store, key, value);
}

void TieredStore::Touch(const Digest256& key) {
  for (const auto& store : tiers_) store->Touch(key);
}

void TieredStore::Remove(const Digest256& key) {
  for (const auto& store : tiers_) store->Remove(key);
}

void TieredStore::RemoveCorrupt(const Digest256& key) {
  for (const auto& store : tiers_) store->RemoveCorrupt(key);
}

Cleared TieredStore::Clear() {
  Cleared cleared;
  for (const auto& store : tiers_) {
    Cleared part = store->Clear();
    cleared.entries += part.entries;
    cleared.bytes += part.bytes;
  }
  return cleared;
}

std::vector<EntryInfo> TieredStore::List() const {
  std::vector<EntryInfo> list;
  std::unordered_map<Digest256, size_t> places;
  for (const auto& store : tiers_) {
    for (EntryInfo& entry : store->List()) {
      auto [place, added] = places.emplace(entry.key, list.size());
      if (added) {
        list.push_back(std::move(entry));
        continue;
      }
      EntryInfo& known = list[place->second];
      known.idle_seconds = std::min(known.idle_seconds, entry.idle_seconds);
      known.tiers.insert(known.tiers.end(), entry.tiers.begin(), entry.tiers.end());
    }
  }
  std::stable_sort(list.begin(), list.end(), [](const EntryInfo& a, const EntryInfo& b) {
    return a.idle_seconds < b.idle_seconds;
  });
  return list;
}

TierStats TieredStore::Stats() const {
  TierStats sum;
  sum.tier = tier();
  for (const auto& store : tiers_) {
    TierStats part = store->Stats();
    sum.hits += part.hits;
    sum.misses += part.misses;
    sum.puts += part.puts;
    sum.evicted_bytes += part.evicted_bytes;
    sum.corrupt += part.corrupt;
    sum.errors += part.errors;
    sum.entries += part.entries;
    sum.size_bytes += part.size_bytes;
    sum.limit_bytes += part.limit_bytes;
    sum.longest_idle_seconds = std::max(sum.longest_idle_seconds, part.longest_idle_seconds);
  }
  return sum;
}

std::vector<Store*> TieredStore::Tiers() {
  std::vector<Store*> all;
  for (const auto& store : tiers_) {
    for (Store* leaf : store->Tiers()) all.push_back(leaf);
  }
  return all;
}

}  // namespace rlx::cache
