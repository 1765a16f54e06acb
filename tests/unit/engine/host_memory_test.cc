// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/host_memory.h"

#include <gtest/gtest.h>

#include <vector>

namespace rlx::engine {
namespace {

TEST(HostMemory, CountsWhatIsHeldAndTheMostThatWas) {
  HostMemory memory(1000, [] { return false; });
  {
    auto first = memory.Reserve(300);
    auto second = memory.Reserve(400);
    ASSERT_TRUE(first.ok() && second.ok());
    EXPECT_EQ(memory.used(), 700);
    EXPECT_EQ(memory.Reserve(301).status().code(), absl::StatusCode::kResourceExhausted);
  }
  EXPECT_EQ(memory.used(), 0);
  EXPECT_EQ(memory.peak(), 700);
  auto third = memory.Reserve(100);
  ASSERT_TRUE(third.ok());
  EXPECT_EQ(memory.peak(), 700);
  third->Resize(900);
  EXPECT_EQ(memory.used(), 900);
  EXPECT_EQ(memory.peak(), 900);
}

TEST(HostMemory, EvictsUntilWhatIsAskedForFits) {
  std::vector<HostMemory::Reservation> idle;
  HostMemory memory(1000, [&idle] {
    if (idle.empty()) return false;
    idle.pop_back();
    return true;
  });
  for (int n = 0; n < 4; ++n) idle.push_back(*memory.Reserve(200));
  EXPECT_TRUE(memory.Reserve(500).ok());
  EXPECT_EQ(idle.size(), 2u);
  EXPECT_FALSE(memory.Reserve(1001).ok());
  EXPECT_EQ(idle.size(), 2u) << "nothing goes for what can never fit";
}

}  // namespace
}  // namespace rlx::engine
