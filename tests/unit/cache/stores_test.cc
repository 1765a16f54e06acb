// SPDX-License-Identifier: Apache-2.0
// What every store promises, on each kind; then what is particular to memory and tiers.
#include <gtest/gtest.h>

#include <thread>

#include "runtime/cache/disk_store.h"
#include "runtime/cache/memory_store.h"
#include "runtime/cache/tiered_store.h"
#include "tests/support/temp_dir.h"

namespace rlx::cache {
namespace {

constexpr uint64_t kLarge = 1 << 20;

Digest256 Key(int i) { return FieldHasher().AddInt(static_cast<uint64_t>(i)).Finish(); }
SharedBytes Value(std::string text) { return SharedBytes(std::move(text)); }

struct Made {
  std::unique_ptr<TempDir> folder;
  std::unique_ptr<Store> store;
};

Made Make(const std::string& kind, uint64_t limit = kLarge) {
  Made made;
  made.folder = std::make_unique<TempDir>();
  auto disk = [&] { return *DiskStore::Open(made.folder->path(), limit); };
  if (kind == "memory") made.store = std::make_unique<MemoryStore>(limit);
  if (kind == "disk") made.store = disk();
  if (kind == "tiered") {
    std::vector<std::unique_ptr<Store>> tiers;
    tiers.push_back(std::make_unique<MemoryStore>(limit));
    tiers.push_back(disk());
    made.store = std::make_unique<TieredStore>(std::move(tiers));
  }
  return made;
}

class EveryStore : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Kinds, EveryStore, testing::Values("memory", "disk", "tiered"),
                         [](const auto& info) { return info.param; });

TEST_P(EveryStore, GivesBackWhatWasPut) {
  Made made = Make(GetParam());
  Store& store = *made.store;
  EXPECT_FALSE(store.Get(Key(1)).has_value());
  store.Put(Key(1), Value(std::string("a\0b", 3)));
  store.Put(Key(2), Value(""));
  EXPECT_EQ(store.Get(Key(1))->value.view(), std::string_view("a\0b", 3));
  EXPECT_EQ(store.Get(Key(2))->value.view(), "");
  store.Put(Key(1), Value("other"));
  EXPECT_EQ(store.Get(Key(1))->value.view(), "other");
  store.Remove(Key(1));
  store.Remove(Key(3));
  EXPECT_FALSE(store.Get(Key(1)).has_value());
  EXPECT_EQ(store.Stats().corrupt, 0u);
  EXPECT_EQ(store.Stats().errors, 0u);
}

TEST_P(EveryStore, ForgetsTheLeastRecentlyUsed) {
  // Room for three entries of either kind: 10,000 bytes and a header or an overhead.
  Made made = Make(GetParam(), 3 * 10'300);
  Store& store = *made.store;
  for (int i = 0; i < 3; ++i) store.Put(Key(i), Value(std::string(10'000, 'x')));
  EXPECT_TRUE(store.Get(Key(0)).has_value());
  store.Put(Key(3), Value(std::string(10'000, 'x')));
  EXPECT_TRUE(store.Get(Key(0)).has_value());
  EXPECT_FALSE(store.Get(Key(1)).has_value());
  EXPECT_TRUE(store.Get(Key(2)).has_value());
  EXPECT_TRUE(store.Get(Key(3)).has_value());
  for (Store* tier : store.Tiers()) {
    TierStats stats = tier->Stats();
    EXPECT_GE(stats.evicted_bytes, 10'000u) << stats.tier;
    EXPECT_LE(stats.size_bytes, stats.limit_bytes) << stats.tier;
    EXPECT_EQ(stats.entries, 3u) << stats.tier;
  }
}

TEST_P(EveryStore, KeepsNothingLargerThanItself) {
  Made made = Make(GetParam(), 1000);
  made.store->Put(Key(1), Value("small"));
  made.store->Put(Key(2), Value(std::string(2000, 'x')));
  EXPECT_FALSE(made.store->Get(Key(2)).has_value());
  EXPECT_TRUE(made.store->Get(Key(1)).has_value());
}

TEST_P(EveryStore, RemoveCorruptCounts) {
  Made made = Make(GetParam());
  made.store->Put(Key(1), Value("not what its reader wants"));
  made.store->RemoveCorrupt(Key(1));
  EXPECT_FALSE(made.store->Get(Key(1)).has_value());
  for (Store* tier : made.store->Tiers()) EXPECT_EQ(tier->Stats().corrupt, 1u);
}

TEST_P(EveryStore, ListsMostRecentFirstAndClears) {
  Made made = Make(GetParam());
  Store& store = *made.store;
  for (int i = 0; i < 3; ++i) {
    store.Put(Key(i), Value("value"));
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  (void)store.Get(Key(0));
  std::vector<EntryInfo> list = store.List();
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[0].key, Key(0));
  EXPECT_EQ(list[1].key, Key(2));
  EXPECT_EQ(list[2].key, Key(1));
  EXPECT_EQ(list[0].tiers.size(), store.Tiers().size());
  EXPECT_LE(list[0].idle_seconds, list[2].idle_seconds);

  Cleared cleared = store.Clear();
  EXPECT_EQ(cleared.entries, 3 * store.Tiers().size());
  EXPECT_GE(cleared.bytes, 15u);
  EXPECT_TRUE(store.List().empty());
  EXPECT_EQ(store.Stats().size_bytes, 0u);
  EXPECT_FALSE(store.Get(Key(0)).has_value());
}

TEST_P(EveryStore, SaysHowLongTheOldestEntryIsIdle) {
  Made made = Make(GetParam());
  EXPECT_EQ(made.store->Stats().longest_idle_seconds, 0);
  for (int i = 0; i < 2; ++i) {
    made.store->Put(Key(i), Value("value"));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_GE(made.store->Stats().longest_idle_seconds, 0.008);
  made.store->Touch(Key(0));
  const double second = made.store->List().back().idle_seconds;
  const double longest = made.store->Stats().longest_idle_seconds;
  EXPECT_GE(longest, second);
  EXPECT_LT(longest, second + 60);
  EXPECT_GE(longest, made.store->List().front().idle_seconds);
}

TEST_P(EveryStore, StaysWithinItsLimitUnderThreads) {
  Made made = Make(GetParam(), 20'000);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 50; ++i) {
          int k = (i * 7 + t) % 30;
          made.store->Put(Key(k), Value(std::string(1000, static_cast<char>('a' + k % 26))));
          std::optional<Hit> hit = made.store->Get(Key((i + t) % 30));
          if (hit) {
            EXPECT_EQ(hit->value.view(),
                      std::string(1000, static_cast<char>('a' + (i + t) % 30 % 26)));
          }
          if (i % 10 == 0) made.store->Remove(Key(k));
        }
      });
    }
  }
  for (Store* tier : made.store->Tiers()) {
    TierStats stats = tier->Stats();
    EXPECT_EQ(stats.errors, 0u);
    EXPECT_EQ(stats.corrupt, 0u);
    uint64_t listed = 0;
    for (const EntryInfo& entry : tier->List()) listed += entry.size_bytes;
    EXPECT_LE(listed, stats.size_bytes);  // memory adds an overhead to each
  }
}

TEST(MemoryStore, SharesTheBytes) {
  MemoryStore store(kLarge);
  SharedBytes value = Value("shared");
  store.Put(Key(1), value);
  EXPECT_EQ(store.Get(Key(1))->value.data(), value.data());
}

TEST_P(EveryStore, TouchIsUse) {
  Made made = Make(GetParam(), 2 * 10'300);
  made.store->Put(Key(0), Value(std::string(10'000, 'x')));
  made.store->Put(Key(1), Value(std::string(10'000, 'x')));
  made.store->Touch(Key(0));
  made.store->Touch(Key(7));
  made.store->Put(Key(2), Value(std::string(10'000, 'x')));
  EXPECT_TRUE(made.store->Get(Key(0)).has_value());
  EXPECT_FALSE(made.store->Get(Key(1)).has_value());
  EXPECT_FALSE(made.store->Get(Key(7)).has_value());
}

TEST(TieredStore, AHitFillsTheFasterTiers) {
  TempDir folder;
  std::vector<std::unique_ptr<Store>> tiers;
  tiers.push_back(std::make_unique<MemoryStore>(kLarge));
  tiers.push_back(*DiskStore::Open(folder.path(), kLarge));
  tiers[1]->Put(Key(1), Value("from disk"));
  TieredStore store(std::move(tiers));
  std::optional<Hit> first = store.Get(Key(1));
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->tier, "disk");
  std::optional<Hit> second = store.Get(Key(1));
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->tier, "memory");
  EXPECT_EQ(second->value.view(), "from disk");
  EXPECT_EQ(store.List()[0].tiers, (std::vector<std::string_view>{"memory", "disk"}));
}

TEST(TieredStore, TellsHowLongTiersTook) {
  TempDir folder;
  std::vector<std::unique_ptr<Store>> tiers;
  tiers.push_back(std::make_unique<MemoryStore>(kLarge));
  tiers.push_back(*DiskStore::Open(folder.path(), kLarge));
  tiers[1]->Put(Key(1), Value("from disk"));
  std::vector<std::string> heard;
  TieredStore store(std::move(tiers),
                    [&](std::string_view tier, std::string_view operation, double seconds) {
                      heard.push_back(std::string(tier) + " " + std::string(operation));
                      EXPECT_GE(seconds, 0);
                      EXPECT_LT(seconds, 60);
                    });
  (void)store.Get(Key(1));
  EXPECT_EQ(heard, (std::vector<std::string>{"memory get", "disk get", "memory put"}));
  heard.clear();
  store.Put(Key(2), Value("new"));
  EXPECT_EQ(heard, (std::vector<std::string>{"memory put", "disk put"}));
}

}  // namespace
}  // namespace rlx::cache
