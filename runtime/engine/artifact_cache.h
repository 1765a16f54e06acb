// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/cache/single_flight.h"
#include "runtime/cache/turns.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/module_cache.h"

namespace rlx::engine {

// Compiled modules by key, through all tiers: ready for use, encoded in memory, on disk, shared.
// What does not decode is deleted, counted and not there. Thread safe.
class ArtifactCache {
 public:
  // Fails when the folder for artifacts cannot be made. `observer` outlives it.
  static absl::StatusOr<std::unique_ptr<ArtifactCache>> Open(const EngineOptions& options,
                                                             EngineObserver& observer);

  struct Found {
    ModulePtr module;  // null: no tier has it
    CacheResult cache = CacheResult::kMemory;
  };
  // Ready for use, or nothing. Does not block.
  ModulePtr Recall(const Digest256& key);
  // Asks every tier. However many ask for a key at a time, it is read and decoded once.
  absl::StatusOr<Found> Find(const Digest256& key, const CancelToken& cancel);

  // Whether to make what no tier has, or to leave that to another replica.
  struct Share {
    ModulePtr module;     // another has made it
    bool theirs = false;  // another makes it: ask again soon
    cache::Turn turn;     // to be kept until what was made has been added; may be empty
  };
  Share TakeTurn(const Digest256& key);
  // Nothing without a shared tier.
  std::optional<cache::TurnStats> SharedStats() const;

  // `keep`: in every tier; otherwise only as long as someone holds it.
  ModulePtr Add(const Digest256& key, wire::Artifact artifact, bool keep);

  std::vector<cache::TierStats> Stats() const;
  std::vector<cache::EntryInfo> List(size_t limit, size_t& total) const;
  absl::StatusOr<cache::Cleared> Clear(const std::vector<std::string>& tiers);

 private:
  ArtifactCache(std::unique_ptr<cache::Store> store, cache::Turns* turns,
                const EngineOptions& options);
  Found Read(const Digest256& key);

  ModuleCache ready_;
  const std::unique_ptr<cache::Store> store_;
  cache::Turns* const turns_;         // a tier of the store; null: none is shared
  cache::SingleFlight<Found> reads_;  // on the thread of whoever asks first
};

}  // namespace rlx::engine
