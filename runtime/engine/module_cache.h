// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>

#include "runtime/cache/lru_map.h"
#include "runtime/cache/store.h"
#include "runtime/engine/compile.h"

namespace rlx::engine {

using ModulePtr = std::shared_ptr<const CompiledModule>;

// Compiled modules ready for use, by key: the most recently used up to a number of bytes, and
// whatever else someone still holds. In front of the stores, which hold them encoded. Thread safe.
class ModuleCache {
 public:
  explicit ModuleCache(uint64_t limit_bytes);

  ModulePtr Get(const Digest256& key);
  // Found as long as someone holds it; `keep`: and longer.
  void Put(const ModulePtr& module, bool keep);
  // Forgets what nobody holds, and that the rest is kept.
  cache::Cleared Clear();
  cache::TierStats Stats() const;

 private:
  void ForgetExpiredLocked();

  struct Kept {
    ModulePtr module;
    double used_seconds = 0;  // MonotonicSeconds
  };

  mutable std::mutex mutex_;
  cache::LruMap<Digest256, Kept> kept_;
  std::unordered_map<Digest256, std::weak_ptr<const CompiledModule>> held_;
  size_t forget_at_ = 64;  // entries of held_
  cache::TierStats stats_;
};

}  // namespace rlx::engine
