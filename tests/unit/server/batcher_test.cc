// SPDX-License-Identifier: Apache-2.0
// The queue at work, on a clock and on threads that the test has in its hand.
#include "server/scheduling/batcher.h"

#include <gmock/gmock.h>

#include <deque>

#include "runtime/base/status.h"

namespace rlx::server {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class BatcherTest : public ::testing::Test {
 protected:
  struct Named final : Waiting {
    std::string name;
    std::vector<std::string>* ended = nullptr;
    void End() override { ended->push_back(name + (status.ok() ? "" : " " + CodeOf(status))); }
    static std::string CodeOf(const absl::Status& status) {
      return std::string(absl::StatusCodeToString(status.code()));
    }
  };
  struct Counting final : QueueObserver {
    int refused = 0, expired = 0, gone = 0;
    std::vector<double> waited;
    std::vector<int64_t> rows;
    void Refused() override { ++refused; }
    void Began(double seconds) override { waited.push_back(seconds); }
    void Batched(int64_t n) override { rows.push_back(n); }
    void Expired() override { ++expired; }
    void Gone() override { ++gone; }
  };

  static QueueOptions Of(int64_t rows, int instances = 1) {
    QueueOptions options;
    options.max_rows = rows;
    options.instances = instances;
    options.policy.max_size = 100;
    return options;
  }
  void Make(QueueOptions options) {
    Batcher::Host host;
    host.now = [this] { return now_; };
    host.submit = [this](std::function<void()> task) {
      if (!has_threads_) return false;
      tasks_.push_back(std::move(task));
      return true;
    };
    host.at = [this](double when, std::function<void()> call) {
      alarms_.emplace(when, std::move(call));
    };
    host.run = [this](Batch& batch) {
      std::vector<std::string> names;
      for (const auto& request : batch.requests) {
        names.push_back(static_cast<Named&>(*request).name);
      }
      ran_.push_back(names);
      if (while_running_) while_running_(batch);
    };
    batcher_ = std::make_shared<Batcher>(std::move(options), std::move(host), &counts_);
  }
  std::shared_ptr<Named> Push(const std::string& name, double deadline = kNever) {
    auto request = std::make_shared<Named>();
    request->name = name;
    request->ended = &ended_;
    request->deadline = deadline;
    batcher_->Push(request);
    return request;
  }
  // One thread takes one task to its end.
  bool Work() {
    if (tasks_.empty()) return false;
    const auto task = std::move(tasks_.front());
    tasks_.pop_front();
    task();
    return true;
  }
  // Lets time pass.
  void Until(double when) {
    while (!alarms_.empty() && alarms_.begin()->first <= when) {
      const auto call = std::move(alarms_.begin()->second);
      now_ = std::max(now_, alarms_.begin()->first);
      alarms_.erase(alarms_.begin());
      call();
    }
    now_ = when;
  }

  double now_ = 0;
  bool has_threads_ = true;
  std::deque<std::function<void()>> tasks_;
  std::multimap<double, std::function<void()>> alarms_;
  std::function<void(Batch&)> while_running_;
  std::vector<std::vector<std::string>> ran_;
  std::vector<std::string> ended_;
  Counting counts_;
  std::shared_ptr<Batcher> batcher_;
};

TEST_F(BatcherTest, ABatchFormsWhileAllInstancesRun) {
  Make(Of(8));
  Push("a");
  for (const char* name : {"b", "c", "d"}) Push(name);
  EXPECT_EQ(tasks_.size(), 1u);
  EXPECT_EQ(batcher_->waiting(), 3u);
  EXPECT_TRUE(Work());
  now_ = 2;
  EXPECT_TRUE(Work());
  EXPECT_FALSE(Work());
  EXPECT_THAT(ran_, ElementsAre(ElementsAre("a"), ElementsAre("b", "c", "d")));
  EXPECT_THAT(ended_, ElementsAre("a", "b", "c", "d"));
  EXPECT_THAT(counts_.rows, ElementsAre(1, 3));
  EXPECT_EQ(counts_.waited.size(), 4u);
}

TEST_F(BatcherTest, InstancesRunSideBySide) {
  Make(Of(1, 2));
  for (const char* name : {"a", "b", "c"}) Push(name);
  EXPECT_EQ(tasks_.size(), 2u);
  while (Work()) {
  }
  EXPECT_THAT(ran_, ElementsAre(ElementsAre("a"), ElementsAre("b"), ElementsAre("c")));
}

TEST_F(BatcherTest, TheTimerEndsTheWaitForOthers) {
  QueueOptions options = Of(4);
  options.max_delay = 0.5;
  Make(options);
  Push("a");
  Until(0.2);
  Push("b");
  EXPECT_TRUE(tasks_.empty());
  Until(0.6);
  EXPECT_TRUE(Work());
  EXPECT_THAT(ran_, ElementsAre(ElementsAre("a", "b")));
  Push("c");
  batcher_->Hurry();
  EXPECT_TRUE(Work());
}

TEST_F(BatcherTest, DeadlinesEndTheWaitForAnInstance) {
  Make(Of(1));
  Push("a");
  Push("b", 1);
  Push("c");
  Until(1);
  EXPECT_THAT(ended_, ElementsAre("b DEADLINE_EXCEEDED"));
  EXPECT_EQ(counts_.expired, 1);
  while (Work()) {
  }
  EXPECT_THAT(ran_, ElementsAre(ElementsAre("a"), ElementsAre("c")));
}

TEST_F(BatcherTest, WhoGoesLeavesTheQueueAtOnce) {
  QueueOptions options = Of(1);
  options.policy.max_size = 1;
  Make(options);
  Push("a");
  const auto gone = Push("b");
  Push("full");
  EXPECT_THAT(ended_, ElementsAre("full RESOURCE_EXHAUSTED"));
  EXPECT_EQ(counts_.refused, 1);
  batcher_->Forget(*gone);
  EXPECT_THAT(ended_, ElementsAre("full RESOURCE_EXHAUSTED", "b CANCELLED"));
  EXPECT_EQ(counts_.gone, 1);
  Push("c");
  while (Work()) {
  }
  batcher_->Forget(*gone);  // for nothing
  EXPECT_THAT(ran_, ElementsAre(ElementsAre("a"), ElementsAre("c")));
}

TEST_F(BatcherTest, ARunStopsWhenAllItsCallersHaveGone) {
  Make(Of(2));
  Push("first");
  const auto b = Push("b"), c = Push("c");
  std::vector<bool> stopped;
  while_running_ = [&](Batch& batch) {
    if (batch.requests.size() < 2) return;
    batcher_->Forget(*b);
    stopped.push_back(batch.stop.stop_requested());
    batcher_->Forget(*c);
    stopped.push_back(batch.stop.stop_requested());
  };
  while (Work()) {
  }
  EXPECT_THAT(stopped, ElementsAre(false, true));
}

TEST_F(BatcherTest, AnswersLeaveInOrderWhereThatIsAsked) {
  QueueOptions options = Of(1, 3);
  options.in_order = true;
  Make(options);
  for (const char* name : {"a", "b", "c"}) Push(name);
  ASSERT_EQ(tasks_.size(), 3u);
  std::swap(tasks_[0], tasks_[2]);
  Work();
  EXPECT_THAT(ended_, IsEmpty()) << "c waits for a and b";
  std::swap(tasks_[0], tasks_[1]);
  Work();
  EXPECT_THAT(ended_, ElementsAre("a"));
  Work();
  EXPECT_THAT(ended_, ElementsAre("a", "b", "c"));
}

TEST_F(BatcherTest, WhoLeavesAnOrderedQueueHoldsNobodyUp) {
  QueueOptions options = Of(1, 2);
  options.in_order = true;
  Make(options);
  Push("a");
  Push("b");
  const auto gone = Push("c");
  Push("d", 1);
  Push("e");
  batcher_->Forget(*gone);
  Until(1);
  EXPECT_THAT(ended_, ElementsAre("c CANCELLED", "d DEADLINE_EXCEEDED")) << "at once";
  while (Work()) {
  }
  EXPECT_THAT(ended_, ElementsAre("c CANCELLED", "d DEADLINE_EXCEEDED", "a", "b", "e"));
}

TEST_F(BatcherTest, AnswersThatWaitForTheirTurnAreBounded) {
  QueueOptions options = Of(1, 2);
  options.in_order = true;
  options.policy.max_size = 2;
  Make(options);
  for (const char* name : {"a", "b", "c", "d"}) Push(name);
  const auto slow = std::move(tasks_.front());  // a's
  tasks_.pop_front();
  while (Work()) {
  }
  EXPECT_THAT(ended_, IsEmpty());
  Push("e");
  EXPECT_THAT(ended_, ElementsAre("e RESOURCE_EXHAUSTED"));
  slow();
  EXPECT_THAT(ended_, ElementsAre("e RESOURCE_EXHAUSTED", "a", "b", "c", "d"));
  Push("f");
  EXPECT_TRUE(Work());
  EXPECT_EQ(ended_.back(), "f");
}

TEST_F(BatcherTest, AlarmsDoNotPileUp) {
  Make(Of(1));
  Push("a");  // runs on
  for (int i = 0; i < 50; ++i) Push("late", 1000.0 - i);
  EXPECT_LE(alarms_.size(), 2u);
  Until(1000);
  EXPECT_EQ(counts_.expired, 50);
  EXPECT_LE(alarms_.size(), 1u);
}

TEST_F(BatcherTest, EveryRequestOfARunWithoutAThreadCountsAsRefused) {
  Make(Of(4));
  for (const char* name : {"a", "b", "c", "d"}) Push(name);
  has_threads_ = false;
  EXPECT_TRUE(Work());
  EXPECT_EQ(counts_.refused, 3);
  EXPECT_EQ(ended_.size(), 4u);
}

TEST_F(BatcherTest, WithoutAThreadARequestIsRefusedAndTheNextIsTriedLater) {
  Make(Of(1));
  has_threads_ = false;
  Push("a");
  EXPECT_THAT(ended_, ElementsAre("a RESOURCE_EXHAUSTED"));
  has_threads_ = true;
  Push("b");
  EXPECT_TRUE(Work());
  EXPECT_THAT(ended_, ElementsAre("a RESOURCE_EXHAUSTED", "b"));
}

TEST_F(BatcherTest, NothingIsLeftBehind) {
  Make(Of(2));
  const std::weak_ptr<Batcher> weak = batcher_;
  std::weak_ptr<Waiting> request = Push("a", 5);
  batcher_.reset();
  EXPECT_FALSE(weak.expired()) << "it has something to do";
  while (Work()) {
  }
  EXPECT_TRUE(weak.expired());
  EXPECT_TRUE(request.expired());
  Until(10);  // an alarm of who has gone
}

}  // namespace
}  // namespace rlx::server
