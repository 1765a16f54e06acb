// SPDX-License-Identifier: Apache-2.0
#include "server/models/latency.h"

#include <gtest/gtest.h>

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
  table.Ran(65, 2.0);
  EXPECT_FALSE(table.Fast(1).has_value());
  EXPECT_FALSE(table.Fast(65).has_value());
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
