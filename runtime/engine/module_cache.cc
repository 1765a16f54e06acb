// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/module_cache.h"

#include "runtime/base/clock.h"

namespace rlx::engine {
namespace {

// Object code and constants are as large decoded as encoded; the rest, graphs and reports of many
// small strings and lists, takes several times its encoded size.
uint64_t Cost(const CompiledModule& module) {
  constexpr uint64_t kDecodedFactor = 8, kFixedBytes = 4096;
  const uint64_t encoded = static_cast<uint64_t>(module.artifact_bytes);
  const uint64_t bulk = std::min(
      encoded, static_cast<uint64_t>(module.memory.code_bytes + module.memory.constant_bytes));
  return bulk + kDecodedFactor * (encoded - bulk) + kFixedBytes;
}

}  // namespace

ModuleCache::ModuleCache(uint64_t limit_bytes) {
  stats_.tier = "decoded";
  stats_.limit_bytes = limit_bytes;
}

ModulePtr ModuleCache::Get(const Digest256& key) {
  std::lock_guard lock(mutex_);
  ModulePtr module;
  if (Kept* kept = kept_.Use(key)) {
    kept->used_seconds = MonotonicSeconds();
    module = kept->module;
  } else if (const auto found = held_.find(key); found != held_.end()) {
    module = found->second.lock();
  }
  ++(module ? stats_.hits : stats_.misses);
  return module;
}

void ModuleCache::Put(const ModulePtr& module, bool keep) {
  const uint64_t cost = Cost(*module);
  std::vector<ModulePtr> evicted;  // destroyed after the lock
  std::lock_guard lock(mutex_);
  held_[module->key] = module;
  if (held_.size() >= forget_at_) ForgetExpiredLocked();
  if (!keep || cost > stats_.limit_bytes) return;
  if (auto before = kept_.Insert(module->key, Kept{module, MonotonicSeconds()})) {
    stats_.size_bytes -= Cost(*before->module);
  }
  stats_.size_bytes += cost;
  ++stats_.puts;
  while (stats_.size_bytes > stats_.limit_bytes) {
    evicted.push_back(kept_.entries().back().second.module);
    stats_.size_bytes -= Cost(*evicted.back());
    stats_.evicted_bytes += Cost(*evicted.back());
    kept_.Erase(evicted.back()->key);
  }
}

void ModuleCache::ForgetExpiredLocked() {
  std::erase_if(held_, [](const auto& entry) { return entry.second.expired(); });
  forget_at_ = 2 * held_.size() + 64;
}

cache::Cleared ModuleCache::Clear() {
  std::lock_guard lock(mutex_);
  const cache::Cleared cleared{.entries = kept_.size(), .bytes = stats_.size_bytes};
  kept_.Clear();
  held_.clear();
  stats_.size_bytes = 0;
  return cleared;
}

cache::TierStats ModuleCache::Stats() const {
  std::lock_guard lock(mutex_);
  cache::TierStats stats = stats_;
  stats.entries = kept_.size();
  if (!kept_.empty()) {
    stats.longest_idle_seconds = MonotonicSeconds() - kept_.entries().back().second.used_seconds;
  }
  return stats;
}

}  // namespace rlx::engine
