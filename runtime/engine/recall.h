// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>

#include "runtime/cache/lru_map.h"
#include "runtime/engine/compile.h"

namespace rlx::engine {

// What a request, or a principal's use of a key, turned out to mean. Copies share what is behind
// the pointers.
struct Meaning {
  Digest256 key;
  DeviceKind device = DeviceKind::kCpu;
  std::shared_ptr<const SourceTable> names;
  std::shared_ptr<const CompileOptions> options;
  WeightSources weights;

  size_t MemoryBytes() const {
    size_t bytes = sizeof *this + sizeof *options + names->MemoryBytes();
    if (weights == nullptr) return bytes;
    for (const WeightSource& weight : *weights) bytes += sizeof weight + weight.param.capacity();
    return bytes;
  }
};

// The most recent meanings, by digest, as many as `budget_bytes` hold. Thread safe.
class Recollection {
 public:
  struct Load {
    size_t entries = 0, bytes = 0;
  };
  explicit Recollection(size_t budget_bytes) : budget_(budget_bytes) {}

  void Put(const Digest256& digest, Meaning meaning) {
    std::lock_guard lock(mutex_);
    bytes_ += meaning.MemoryBytes();
    Forget(map_.Insert(digest, std::move(meaning)));
    while (bytes_ > budget_) Forget(map_.Erase(map_.entries().back().first));
  }
  std::optional<Meaning> Get(const Digest256& digest) {
    std::lock_guard lock(mutex_);
    const Meaning* found = map_.Use(digest);
    return found != nullptr ? std::optional(*found) : std::nullopt;
  }
  void Clear() {
    std::lock_guard lock(mutex_);
    map_.Clear();
    bytes_ = 0;
  }
  Load load() const {
    std::lock_guard lock(mutex_);
    return {map_.size(), bytes_};
  }

 private:
  void Forget(const std::optional<Meaning>& gone) {
    if (gone) bytes_ -= gone->MemoryBytes();
  }

  const size_t budget_;
  mutable std::mutex mutex_;
  size_t bytes_ = 0;
  cache::LruMap<Digest256, Meaning> map_;
};

}  // namespace rlx::engine
