// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/compile_pool.h"

#include <gtest/gtest.h>

#include <future>

namespace rlx::engine {
namespace {

// One that waits for another leaves its place to it, though there is only one.
TEST(CompilePool, WorkOnABreakLeavesItsPlace) {
  CompilePool pool(1, 10);
  std::promise<void> second_ran, first_ended;
  ASSERT_TRUE(pool.Submit([&] {
                    {
                      const CompilePool::Break waiting(pool);
                      second_ran.get_future().wait();
                    }
                    first_ended.set_value();
                  })
                  .ok());
  ASSERT_TRUE(pool.Submit([&] { second_ran.set_value(); }).ok());
  first_ended.get_future().wait();
}

TEST(CompilePool, AfterItsBreakWorkWaitsForAPlace) {
  CompilePool pool(2, 100);
  std::atomic<int> running = 0, most = 0, done = 0;
  std::promise<void> all_done;
  const auto work = [&] {
    const int now = ++running;
    int before = most;
    while (now > before && !most.compare_exchange_weak(before, now)) {
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    --running;
  };
  constexpr int kJobs = 40;
  for (int i = 0; i < kJobs; ++i) {
    ASSERT_TRUE(pool.Submit([&] {
                      work();
                      {
                        const CompilePool::Break waiting(pool);
                        std::this_thread::sleep_for(std::chrono::milliseconds(1));
                      }
                      work();
                      if (++done == kJobs) all_done.set_value();
                    })
                    .ok());
  }
  all_done.get_future().wait();
  EXPECT_LE(most, 2);
}

TEST(CompilePool, EndsWhileSomeAreOnABreak) {
  std::promise<void> begun;
  std::promise<void> end;
  std::shared_future<void> ended = end.get_future().share();
  auto pool = std::make_unique<CompilePool>(1, 10);
  ASSERT_TRUE(pool->Submit([&, raw = pool.get()] {
                    const CompilePool::Break waiting(*raw);
                    begun.set_value();
                    ended.wait();
                  })
                  .ok());
  begun.get_future().wait();
  std::thread later([&] { end.set_value(); });
  pool.reset();
  later.join();
}

}  // namespace
}  // namespace rlx::engine
