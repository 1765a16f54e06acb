// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>

#include "runtime/cache/store.h"

namespace rlx::cache {

// A list of stores is a store: asks them in order, and a hit fills those asked before and counts as
// use in those not asked, so that what memory serves does not grow old on disk. Puts,
// removals and clearing go to all. Owns its stores.
class TieredStore : public Store {
 public:
  // Hears how long each "get" and "put" of a tier took. Called by whoever asks, several at a time.
  using Observer =
      std::function<void(std::string_view tier, std::string_view operation, double seconds)>;

  // Fastest first.
  explicit TieredStore(std::vector<std::unique_ptr<Store>> tiers, Observer observer = {})
      : tiers_(std::move(tiers)), observer_(std::move(observer)) {}

  std::string_view tier() const override { return "all"; }
  std::optional<Hit> Get(const Digest256& key) override;  // names the tier that had it
  void Put(const Digest256& key, const SharedBytes& value) override;
  void Touch(const Digest256& key) override;
  void Remove(const Digest256& key) override;
  void RemoveCorrupt(const Digest256& key) override;
  Cleared Clear() override;

  // Each key once, with the tiers that hold it and the most recent use in any of them.
  std::vector<EntryInfo> List() const override;

  // Sums over the tiers; hits and misses therefore count look-ups in a tier, not calls of Get.
  TierStats Stats() const override;

  std::vector<Store*> Tiers() override;

 private:
  std::optional<Hit> GetFrom(Store& tier, const Digest256& key);
  void PutInto(Store& tier, const Digest256& key, const SharedBytes& value);

  const std::vector<std::unique_ptr<Store>> tiers_;
  const Observer observer_;
};

}  // namespace rlx::cache
