// SPDX-License-Identifier: Apache-2.0
#include "runtime/cache/single_flight.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

namespace rlx::cache {
namespace {

using namespace std::chrono_literals;
using Flight = SingleFlight<int>;

const Digest256 kKey = Sha256Of("key");

// An executor with a thread a task, all joined at the end.
class Threads {
 public:
  Flight::Executor executor() {
    return [this](std::function<void()> task) {
      std::lock_guard lock(mutex_);
      threads_.emplace_back(std::move(task));
      return absl::OkStatus();
    };
  }

 private:
  std::mutex mutex_;
  std::vector<std::jthread> threads_;
};

CancelToken In(std::chrono::milliseconds time) {
  return CancelToken(std::stop_token(), CancelToken::Clock::now() + time);
}

// Runs until told to end or until nobody waits.
Flight::Computation Until(const std::atomic<bool>& end, std::atomic<bool>* stopped = nullptr) {
  return [&end, stopped](const CancelToken& cancel, std::monostate&) -> absl::StatusOr<int> {
    while (!end && !cancel.done()) std::this_thread::sleep_for(1ms);
    if (cancel.done() && stopped != nullptr) *stopped = true;
    RLX_TRY(cancel.Check());
    return 42;
  };
}

TEST(SingleFlight, AHundredThreadsShareOneComputation) {
  Threads threads;
  Flight flight(threads.executor());
  std::atomic<int> computed = 0, followers = 0, good = 0, joined = 0;
  auto compute = [&](const CancelToken&, std::monostate&) -> absl::StatusOr<int> {
    while (joined < 100) std::this_thread::sleep_for(1ms);
    return ++computed;
  };
  {
    std::vector<std::jthread> waiters;
    for (int i = 0; i < 100; ++i) {
      waiters.emplace_back([&] {
        auto ticket = flight.Join(kKey, compute);
        ++joined;
        followers += ticket.follower();
        absl::StatusOr<int> result = ticket.Wait(CancelToken());
        good += result.ok() && *result == 1;
      });
    }
  }
  EXPECT_EQ(computed, 1);
  EXPECT_EQ(followers, 99);
  EXPECT_EQ(good, 100);
  EXPECT_EQ(flight.in_flight(), 0u);
}

TEST(SingleFlight, KeysDoNotWaitForEachOther) {
  Threads threads;
  Flight flight(threads.executor());
  std::atomic<bool> end = false;
  auto slow = flight.Join(kKey, Until(end));
  auto quick =
      flight.Join(Sha256Of("other"), [](const CancelToken&, std::monostate&) { return 7; });
  EXPECT_FALSE(quick.follower());
  EXPECT_EQ(*quick.Wait(CancelToken()), 7);
  end = true;
  EXPECT_EQ(*slow.Wait(CancelToken()), 42);
}

TEST(SingleFlight, AWaiterWhoLeavesDoesNotStopTheOthers) {
  Threads threads;
  Flight flight(threads.executor());
  std::atomic<bool> end = false;
  auto stays = flight.Join(kKey, Until(end));
  {
    auto leaves = flight.Join(kKey, Until(end));
    EXPECT_TRUE(leaves.follower());
    EXPECT_EQ(leaves.Wait(In(5ms)).status().code(), absl::StatusCode::kDeadlineExceeded);
    std::stop_source gone;
    std::jthread stopper([&] {
      std::this_thread::sleep_for(5ms);
      gone.request_stop();
    });
    EXPECT_EQ(leaves.Wait(CancelToken(gone.get_token())).status().code(),
              absl::StatusCode::kCancelled);
  }
  end = true;
  EXPECT_EQ(*stays.Wait(CancelToken()), 42);
}

TEST(SingleFlight, TheLastWaiterToLeaveStopsIt) {
  std::atomic<bool> never = false, stopped = false;
  {
    Threads threads;
    Flight flight(threads.executor());
    std::optional<Flight::Ticket> first = flight.Join(kKey, Until(never, &stopped));
    std::optional<Flight::Ticket> second = flight.Join(kKey, Until(never));
    first.reset();
    std::this_thread::sleep_for(10ms);
    EXPECT_FALSE(stopped);
    second.reset();
  }  // joins the thread: it has ended
  EXPECT_TRUE(stopped);
}

TEST(SingleFlight, WhoComesAfterTheLastHasLeftStartsAnew) {
  std::atomic<bool> never = false, end = true;
  Threads threads;
  Flight flight(threads.executor());
  {
    auto abandoned = flight.Join(kKey, Until(never));
  }
  auto ticket = flight.Join(kKey, Until(end));
  EXPECT_FALSE(ticket.follower());
  EXPECT_EQ(*ticket.Wait(CancelToken()), 42);
}

TEST(SingleFlight, FailuresReachAllAndAreNotKept) {
  Threads threads;
  Flight flight(threads.executor());
  std::atomic<bool> fail = false;
  auto failing = [&](const CancelToken&, std::monostate&) -> absl::StatusOr<int> {
    while (!fail) std::this_thread::sleep_for(1ms);
    return InvalidArgument("bad module");
  };
  auto leader = flight.Join(kKey, failing);
  auto follower = flight.Join(kKey, failing);
  fail = true;
  EXPECT_EQ(Message(leader.Wait(CancelToken()).status()), "bad module");
  EXPECT_EQ(Message(follower.Wait(CancelToken()).status()), "bad module");
  auto again = flight.Join(kKey, [](const CancelToken&, std::monostate&) { return 1; });
  EXPECT_FALSE(again.follower());
  EXPECT_TRUE(again.Wait(CancelToken()).ok());
}

TEST(SingleFlight, ARefusingExecutorIsTheOutcome) {
  Flight flight([](std::function<void()>) { return ResourceExhausted("the queue is full"); });
  auto ticket = flight.Join(kKey, [](const CancelToken&, std::monostate&) { return 1; });
  EXPECT_EQ(ticket.Wait(CancelToken()).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(flight.in_flight(), 0u);
}

TEST(SingleFlight, ADroppedTaskReleasesTheWaiters) {
  Flight flight(
      [](std::function<void()>) { return absl::OkStatus(); });  // as a queue that shuts down
  auto ticket = flight.Join(kKey, [](const CancelToken&, std::monostate&) { return 1; });
  EXPECT_EQ(ticket.Wait(CancelToken()).status().code(), absl::StatusCode::kCancelled);
}

TEST(SingleFlight, WorksOnTheCallersThreadToo) {
  Flight flight([](std::function<void()> task) {
    task();
    return absl::OkStatus();
  });
  auto ticket = flight.Join(kKey, [](const CancelToken&, std::monostate&) { return 5; });
  EXPECT_EQ(*ticket.Wait(CancelToken()), 5);
}

TEST(SingleFlight, TicketsAndTasksOutliveIt) {
  Threads threads;
  std::atomic<bool> end = false;
  auto flight = std::make_unique<Flight>(threads.executor());
  auto ticket = flight->Join(kKey, Until(end));
  flight.reset();
  end = true;
  EXPECT_EQ(*ticket.Wait(CancelToken()), 42);
}

struct Log {
  std::mutex mutex;
  std::vector<std::string> events;
};

TEST(SingleFlight, AttachFindsARunningComputationAndItsContext) {
  SingleFlight<int, Log>::Executor executor;
  std::vector<std::function<void()>> queue;
  SingleFlight<int, Log> flight([&](std::function<void()> task) {
    queue.push_back(std::move(task));
    return absl::OkStatus();
  });
  EXPECT_FALSE(flight.Attach(kKey).has_value());
  auto leader = flight.Join(kKey, [](const CancelToken&, Log& log) -> absl::StatusOr<int> {
    std::lock_guard lock(log.mutex);
    log.events.push_back("started");
    return 1;
  });
  auto attached = flight.Attach(kKey);
  ASSERT_TRUE(attached.has_value());
  EXPECT_TRUE(attached->follower());
  queue[0]();
  EXPECT_EQ(*attached->Wait(CancelToken()), 1);
  EXPECT_EQ(attached->context().events, std::vector<std::string>{"started"});
  EXPECT_FALSE(flight.Attach(kKey).has_value());
}

}  // namespace
}  // namespace rlx::cache
