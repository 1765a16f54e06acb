// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/sha256.h"
#include "runtime/base/shared_bytes.h"

// Bytes by key. The cache knows nothing of what they are.
namespace rlx::cache {

// What one tier did since it was made, and what it holds.
struct TierStats {
  std::string_view tier;
  uint64_t hits = 0;
  uint64_t misses = 0;
  uint64_t puts = 0;
  uint64_t evicted_bytes = 0;
  uint64_t corrupt = 0;  // entries that failed a check: deleted, and counted as misses too
  uint64_t errors = 0;   // reads and writes that failed
  std::string trouble;   // what the last write failed with; empty when it did not
  bool shared = false;   // with other processes: what follows is not known, and 0
  uint64_t entries = 0;
  uint64_t size_bytes = 0;
  uint64_t limit_bytes = 0;
  double longest_idle_seconds = 0;  // since the entry used longest ago was; 0 without entries
};

struct Hit {
  SharedBytes value;
  std::string_view tier;  // who had it; a constant
};

struct EntryInfo {
  Digest256 key;
  uint64_t size_bytes = 0;
  double idle_seconds = 0;  // since it was last used
  std::vector<std::string_view> tiers;
};

struct Cleared {
  uint64_t entries = 0;
  uint64_t bytes = 0;
};

// Keys name their value: whoever puts under one key puts the same bytes. A store may forget
// anything at any time, and never fails its caller: what goes wrong is a miss and a counter. Thread
// safe.
class Store {
 public:
  virtual ~Store() = default;

  // The name that metrics and listings give to this tier; a constant.
  virtual std::string_view tier() const = 0;

  virtual std::optional<Hit> Get(const Digest256& key) = 0;
  virtual void Put(const Digest256& key, const SharedBytes& value) = 0;

  // Counts as use of the entry, if it is there: a faster tier had it.
  virtual void Touch(const Digest256& key) = 0;

  // Deletes one entry, if it is there.
  virtual void Remove(const Digest256& key) = 0;

  // As Remove, for an entry that Get returned but its reader could not decode: counts it as
  // corrupt.
  virtual void RemoveCorrupt(const Digest256& key) = 0;

  virtual Cleared Clear() = 0;

  // All entries, most recently used first.
  virtual std::vector<EntryInfo> List() const = 0;

  virtual TierStats Stats() const = 0;

  // The stores that this one is made of, fastest first; a plain store is made of itself.
  virtual std::vector<Store*> Tiers() { return {this}; }
};

}  // namespace rlx::cache
