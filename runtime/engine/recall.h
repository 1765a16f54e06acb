// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>

#include "runtime/cache/lru_map.h"
#include "runtime/engine/compile.h"

namespace rlx::engine {

// What a request, or a principal's use of a key, turned out to mean.
struct Meaning {
  Digest256 key;
  DeviceKind device = DeviceKind::kCpu;
  std::shared_ptr<const SourceTable> names;
  std::shared_ptr<const CompileOptions> options;
};

// The most recent meanings, by digest: a bounded memory. Thread safe.
class Recollection {
 public:
  explicit Recollection(size_t entries) : entries_(entries) {}

  void Put(const Digest256& digest, Meaning meaning) {
    std::lock_guard lock(mutex_);
    map_.Insert(digest, std::move(meaning));
    if (map_.size() > entries_) map_.Erase(map_.entries().back().first);
  }
  std::optional<Meaning> Get(const Digest256& digest) {
    std::lock_guard lock(mutex_);
    const Meaning* found = map_.Use(digest);
    return found != nullptr ? std::optional(*found) : std::nullopt;
  }

 private:
  const size_t entries_;
  std::mutex mutex_;
  cache::LruMap<Digest256, Meaning> map_;
};

}  // namespace rlx::engine
