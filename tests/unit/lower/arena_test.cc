// SPDX-License-Identifier: Apache-2.0
#include "runtime/lower/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace rlx::lower {
namespace {

using Requests = std::vector<ArenaRequest>;

bool Together(const ArenaRequest& a, const ArenaRequest& b) {
  return a.first <= b.last && b.first <= a.last;
}

void ExpectSound(const Requests& requests, const ArenaPlan& plan, int64_t alignment) {
  ASSERT_EQ(plan.offsets.size(), requests.size());
  int64_t end = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(plan.offsets[i] % alignment, 0);
    EXPECT_GE(plan.offsets[i], 0);
    end = std::max(end, plan.offsets[i] + requests[i].bytes);
    for (size_t j = 0; j < i; ++j) {
      if (!Together(requests[i], requests[j])) continue;
      EXPECT_TRUE(plan.offsets[i] + requests[i].bytes <= plan.offsets[j] ||
                  plan.offsets[j] + requests[j].bytes <= plan.offsets[i])
          << i << " and " << j << " overlap";
    }
  }
  EXPECT_EQ(plan.bytes, end);
  EXPECT_GE(plan.bytes, ArenaLowerBound(requests, alignment));
}

// First fit by falling size, by trying every place: at 0, and after each buffer placed.
int64_t FirstFitBySize(const Requests& requests, int64_t alignment) {
  std::vector<size_t> order(requests.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return requests[a].bytes > requests[b].bytes; });
  std::vector<std::pair<size_t, int64_t>> placed;
  int64_t bytes = 0;
  for (size_t r : order) {
    std::vector<int64_t> places = {0};
    for (const auto& [p, at] : placed) {
      places.push_back((at + requests[p].bytes + alignment - 1) / alignment * alignment);
    }
    std::sort(places.begin(), places.end());
    const int64_t place = *std::find_if(places.begin(), places.end(), [&](int64_t at) {
      return std::none_of(placed.begin(), placed.end(), [&](const auto& other) {
        return Together(requests[r], requests[other.first]) &&
               at < other.second + requests[other.first].bytes &&
               other.second < at + requests[r].bytes;
      });
    });
    placed.emplace_back(r, place);
    bytes = std::max(bytes, place + requests[r].bytes);
  }
  return bytes;
}

TEST(Arena, LifetimesThatDoNotMeetShare) {
  const Requests requests = {{100, 0, 1}, {100, 2, 3}, {40, 4, 4}};
  const auto plan = PlanArena(requests, 64);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->offsets, (std::vector<int64_t>{0, 0, 0}));
  EXPECT_EQ(plan->bytes, 100);
}

TEST(Arena, LifetimesThatTouchDoNotShare) {
  const Requests requests = {{100, 0, 2}, {100, 2, 3}};
  const auto plan = PlanArena(requests, 64);
  ASSERT_TRUE(plan);
  ExpectSound(requests, *plan, 64);
  EXPECT_EQ(plan->bytes, 228);
}

TEST(Arena, IsEmptyForNothing) {
  EXPECT_EQ(PlanArena({}, 64)->bytes, 0);
  EXPECT_EQ(ArenaLowerBound({}, 64), 0);
}

TEST(Arena, RefusesWhatOverflows) {
  EXPECT_FALSE(PlanArena({{INT64_MAX - 10, 0, 1}}, 64));
  EXPECT_FALSE(PlanArena({{INT64_MAX / 2, 0, 1}, {INT64_MAX / 2, 2, 3}}, 64));
}

TEST(Arena, IsNeverLargerThanFirstFitBySize) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    const int count = 1 + static_cast<int>(random() % 40);
    const int64_t alignment = int64_t{16} << random() % 4;
    Requests requests;
    for (int i = 0; i < count; ++i) {
      const auto first = static_cast<int32_t>(random() % 30);
      const auto life = static_cast<int32_t>(random() % (round % 2 == 0 ? 4 : 20));
      requests.push_back({1 + static_cast<int64_t>(random() % 1000), first, first + life});
    }
    const auto plan = PlanArena(requests, alignment);
    ASSERT_TRUE(plan);
    ExpectSound(requests, *plan, alignment);
    EXPECT_LE(plan->bytes, FirstFitBySize(requests, alignment)) << "round " << round;
  }
}

TEST(Arena, PlacesManyThatLiveTogether) {
  Requests requests;
  for (int32_t i = 0; i < 20'000; ++i) requests.push_back({64 + i % 7, 0, 20'000});
  const auto plan = PlanArena(requests, 64);
  ASSERT_TRUE(plan);
  EXPECT_LE(plan->bytes, 20'000 * 128);
  EXPECT_GE(plan->bytes, ArenaLowerBound(requests, 64));
}

}  // namespace
}  // namespace rlx::lower
