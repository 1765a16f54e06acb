// SPDX-License-Identifier: Apache-2.0
#include "server/models/latency.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace rlx::server {
namespace {

TEST(LatencyTable, KnowsAFastRunOnceItHasSeenEnough) {
  LatencyTable table;
  for (uint32_t i = 0; i < LatencyTable::kEnough; ++i) {
    EXPECT_FALSE(table.Fast(7).has_value());
    table.Ran(7, i == 3 ? 0.5 : 1.0);
  }
  ASSERT_TRUE(table.Fast(7).has_value());
  EXPECT_GE(*table.Fast(7), 0.5);
  EXPECT_LT(*table.Fast(7), 0.7) << "one slow run does not make all slow";
  for (int i = 0; i < 400; ++i) table.Ran(7, 1.0);
  EXPECT_GT(*table.Fast(7), 0.95) << "many do";
  table.Ran(7, 0.25);
  EXPECT_FLOAT_EQ(static_cast<float>(*table.Fast(7)), 0.25f);
}

TEST(LatencyTable, ShapesThatMeetInASlotAreLearnedAnew) {
  LatencyTable table;
  for (uint32_t i = 0; i < LatencyTable::kEnough; ++i) table.Ran(1, 1.0);
  ASSERT_TRUE(table.Fast(1).has_value());
  for (uint64_t other = 2; other < 2000; ++other) table.Ran(other, 2.0);
  EXPECT_FALSE(table.Fast(1).has_value());
}

TEST(LatencyTable, UsualShapesDoNotAllMeet) {
  LatencyTable table;
  std::vector<uint64_t> keys;
  for (int64_t batch = 1; batch <= 64; batch *= 2) {
    const uint64_t key = LatencyTable::Fold(LatencyTable::kNoShape, batch);
    keys.push_back(LatencyTable::Fold(LatencyTable::Fold(key, 128), 768));
  }
  for (uint64_t key : keys) {
    for (uint32_t i = 0; i < LatencyTable::kEnough; ++i) table.Ran(key, 1.0);
  }
  EXPECT_GE(std::ranges::count_if(keys, [&](uint64_t key) { return table.Fast(key).has_value(); }),
            5);
}

TEST(LatencyTable, NowAndThenOneIsTriedAllTheSame) {
  LatencyTable table;
  int refused = 0;
  for (uint32_t i = 0; i < 4 * LatencyTable::kProbe; ++i) refused += table.Refuses(7);
  EXPECT_EQ(refused, static_cast<int>(4 * (LatencyTable::kProbe - 1)));
  EXPECT_TRUE(table.Refuses(7)) << "the first is not";
}

TEST(LatencyTable, KeysDependOnEveryExtent) {
  const auto key = [](std::initializer_list<int64_t> extents) {
    return LatencyTable::Fold(LatencyTable::kNoShape, std::span(extents.begin(), extents.size()));
  };
  EXPECT_NE(key({1, 2}), key({2, 1}));
  EXPECT_NE(key({1, 2}), key({1, 2, 1}));
  EXPECT_EQ(key({1, 2}), key({1, 2}));
}

}  // namespace
}  // namespace rlx::server
