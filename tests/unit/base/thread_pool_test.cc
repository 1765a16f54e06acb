// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <set>
#include <stop_token>
#include <thread>
#include <vector>

#include "runtime/base/cancel.h"

namespace rlx {
namespace {

TEST(Team, DefaultIsTheCallerAlone) {
  Team team;
  EXPECT_EQ(team.size(), 1);
  const std::thread::id me = std::this_thread::get_id();
  int calls = 0;
  team.Run([&](int member, int size) {
    EXPECT_EQ(member, 0);
    EXPECT_EQ(size, 1);
    EXPECT_EQ(std::this_thread::get_id(), me);
    ++calls;
  });
  EXPECT_EQ(calls, 1);
}

TEST(Team, RunCallsEveryMemberOnceAtTheSameTime) {
  ThreadPool pool(3);
  Team team = pool.Lease(4);
  ASSERT_EQ(team.size(), 4);
  for (int round = 0; round < 200; ++round) {
    std::vector<int> calls(4, 0);
    Barrier barrier(4);
    team.Run([&](int member, int) {
      ++calls[member];
      barrier.Wait();  // would hang if the members ran one after the other
    });
    EXPECT_EQ(calls, std::vector<int>(4, 1));
  }
}

TEST(Team, ParallelForCoversTheRangeOnce) {
  ThreadPool pool(3);
  Team team = pool.Lease(4);
  for (int64_t grain : {1, 3, 7, 1000}) {
    for (int64_t length : {0, 1, 2, 10, 257}) {
      std::vector<int> seen(length, 0);
      team.ParallelFor(5, 5 + length, grain, [&](int64_t begin, int64_t end, int member) {
        EXPECT_LE(end - begin, grain);
        EXPECT_LT(begin, end);
        EXPECT_TRUE(0 <= member && member < 4);
        for (int64_t i = begin; i < end; ++i) ++seen[i - 5];
      });
      EXPECT_EQ(seen, std::vector<int>(length, 1)) << "grain " << grain << " length " << length;
    }
  }
}

TEST(Team, ObeysAToken) {
  ThreadPool pool(1);
  for (const int members : {1, 2}) {
    std::stop_source stop;
    const CancelToken cancel(stop.get_token());
    Team team = pool.Lease(members);
    team.Obey(cancel);
    std::atomic<int64_t> pieces{0};
    const auto count = [&](int64_t piece, int64_t, int member) {
      // Whoever is not member 0 is slow, so that there is something to leave out.
      while (member != 0 && !team.Ended()) std::this_thread::yield();
      if (member != 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
      if (member == 0 && piece >= 3) stop.request_stop();
      ++pieces;
    };
    team.ParallelFor(0, 1000, 1, count);
    EXPECT_TRUE(team.Ended());
    EXPECT_LT(pieces, 500);
    Team moved = std::move(team);
    EXPECT_TRUE(moved.Ended());
    EXPECT_TRUE(moved.Alone().Ended());
    pieces = 0;
    moved.Alone().ParallelFor(0, 1000, 1, [&](int64_t, int64_t, int) { ++pieces; });
    EXPECT_EQ(pieces, 0);
  }
}

TEST(Team, ParallelForUsesTheWorkers) {
  ThreadPool pool(1);
  Team team = pool.Lease(2);
  std::atomic<int> inside{0};
  team.ParallelFor(0, 2, 1, [&](int64_t, int64_t, int) {
    inside.fetch_add(1);
    while (inside.load() < 2) std::this_thread::yield();  // each piece waits for the other
  });
  EXPECT_EQ(inside.load(), 2);
}

TEST(Team, WorkersThatFellAsleepWakeForWork) {
  ThreadPool pool(1);
  Team team = pool.Lease(2);
  for (int round = 0; round < 3; ++round) {
    std::this_thread::sleep_for(std::chrono::microseconds(3 * ThreadPool::kSpinMicros));
    Barrier barrier(2);
    int calls[2] = {0, 0};
    team.Run([&](int member, int) {
      calls[member] = 1;
      barrier.Wait();
    });
    EXPECT_EQ(calls[0] + calls[1], 2);
  }
}

TEST(ThreadPool, TeamsShareNoWorkerAndReturnThem) {
  ThreadPool pool(3);
  Team a = pool.Lease(3);
  Team b = pool.Lease(3);
  Team c = pool.Lease(3);
  EXPECT_EQ(a.size(), 3);
  EXPECT_EQ(b.size(), 2);
  EXPECT_EQ(c.size(), 1);
  a = Team();
  Team d = pool.Lease(8);
  EXPECT_EQ(d.size(), 3);
}

TEST(ThreadPool, MovingATeamMovesItsWorkers) {
  ThreadPool pool(1);
  Team a = pool.Lease(2);
  Team b = std::move(a);
  EXPECT_EQ(a.size(), 1);  // NOLINT(bugprone-use-after-move): a moved-from team is the caller alone
  EXPECT_EQ(b.size(), 2);
  EXPECT_EQ(pool.Lease(2).size(), 1);
}

TEST(ThreadPool, WithoutWorkersTheCallerDoesTheWork) {
  ThreadPool pool(0);
  Team team = pool.Lease(4);
  EXPECT_EQ(team.size(), 1);
  int64_t sum = 0;
  team.ParallelFor(0, 10, 3, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) sum += i;
  });
  EXPECT_EQ(sum, 45);
}

TEST(ThreadPool, ConcurrentRunsEachGetTheirOwnAnswer) {
  ThreadPool pool(2);
  std::vector<std::thread> callers;
  std::vector<int64_t> sums(4, 0);
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&, c] {
      for (int round = 0; round < 100; ++round) {
        Team team = pool.Lease(3);
        std::atomic<int64_t> sum{0};
        team.ParallelFor(0, 100, 7, [&](int64_t begin, int64_t end, int) {
          for (int64_t i = begin; i < end; ++i) sum.fetch_add(i * (c + 1));
        });
        sums[c] += sum.load();
      }
    });
  }
  for (std::thread& t : callers) t.join();
  for (int c = 0; c < 4; ++c) EXPECT_EQ(sums[c], 100 * 4950 * (c + 1));
}

TEST(Barrier, SeparatesPhases) {
  ThreadPool pool(2);
  Team team = pool.Lease(3);
  Barrier barrier(3);
  std::vector<int> value(3, 0);
  bool ordered[3] = {true, true, true};
  team.Run([&](int member, int) {
    for (int phase = 1; phase <= 500; ++phase) {
      value[member] = phase;
      barrier.Wait();
      for (int v : value) ordered[member] = ordered[member] && v == phase;
      barrier.Wait();
    }
  });
  EXPECT_TRUE(ordered[0] && ordered[1] && ordered[2]);
}

}  // namespace
}  // namespace rlx
