// SPDX-License-Identifier: Apache-2.0
// Which request runs when, and with whom: no clock and no threads.
#include "server/scheduling/batch_queue.h"

#include <gmock/gmock.h>

#include "runtime/base/status.h"

namespace rlx::server {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

struct Named final : Waiting {
  std::string name;
  void End() override {}
};

class BatchQueueTest : public ::testing::Test {
 protected:
  static QueueOptions Batches(int64_t rows) {
    QueueOptions options;
    options.max_rows = rows;
    options.policy.max_size = 100;
    return options;
  }
  void Make(QueueOptions options) { queue_ = std::make_unique<BatchQueue>(std::move(options)); }
  std::shared_ptr<Named> Request(const std::string& name) {
    auto request = std::make_shared<Named>();
    request->name = name;
    return request;
  }
  std::shared_ptr<Named> Push(const std::string& name, double now = 0) {
    return Push(Request(name), now);
  }
  std::shared_ptr<Named> Push(std::shared_ptr<Named> request, double now = 0) {
    EXPECT_TRUE(queue_->Push(request, now).ok());
    return request;
  }
  static std::vector<std::string> Names(const std::vector<WaitingPtr>& requests) {
    std::vector<std::string> names;
    for (const auto& request : requests) names.push_back(static_cast<Named&>(*request).name);
    return names;
  }
  std::vector<std::string> Take(double now = 0) { return Names(queue_->Take(now).requests); }
  std::vector<std::string> Expire(double now) { return Names(queue_->Expire(now)); }

  std::unique_ptr<BatchQueue> queue_;
};

TEST_F(BatchQueueTest, WhatIsHereRunsTogetherUpToTheMost) {
  Make(Batches(3));
  for (const char* name : {"a", "b", "c", "d"}) Push(name);
  EXPECT_THAT(Take(), ElementsAre("a", "b", "c"));
  EXPECT_THAT(Take(), ElementsAre("d"));
  EXPECT_THAT(Take(), IsEmpty());
  EXPECT_EQ(queue_->size(), 0u);
}

TEST_F(BatchQueueTest, RowsCountAndNobodyPassesWhoDoesNotFit) {
  Make(Batches(4));
  const auto with = [&](const std::string& name, int64_t rows) {
    auto request = Request(name);
    request->rows = rows;
    Push(request);
  };
  with("three", 3);
  with("two", 2);
  with("one", 1);
  with("large", 9);
  EXPECT_THAT(Take(), ElementsAre("three"));
  EXPECT_THAT(Take(), ElementsAre("two", "one"));
  EXPECT_THAT(Take(), ElementsAre("large")) << "by itself, whatever it has";
}

TEST_F(BatchQueueTest, WaitsForOthersAsLongAsItMay) {
  QueueOptions options = Batches(3);
  options.max_delay = 0.5;
  Make(options);
  Push("a", 10);
  const auto none = queue_->Take(10.1);
  EXPECT_THAT(none.requests, IsEmpty());
  EXPECT_DOUBLE_EQ(none.look_again, 10.5);
  Push("b", 10.2);
  EXPECT_THAT(Take(10.4), IsEmpty());
  EXPECT_THAT(Take(10.5), ElementsAre("a", "b")) << "the first one's time counts";
  for (const char* name : {"c", "d", "e"}) Push(name, 11);
  EXPECT_THAT(Take(11), ElementsAre("c", "d", "e")) << "a full one waits for nothing";
  Push("f", 12);
  queue_->Hurry();
  EXPECT_THAT(Take(12), ElementsAre("f"));
}

TEST_F(BatchQueueTest, APreferredSizeRunsAtOnce) {
  QueueOptions options = Batches(8);
  options.max_delay = 1;
  options.preferred = {2, 4};
  Make(options);
  Push("a");
  EXPECT_THAT(Take(), IsEmpty());
  for (const char* name : {"b", "c", "d", "e"}) Push(name);
  EXPECT_THAT(Take(), ElementsAre("a", "b", "c", "d")) << "the largest that there is";
  EXPECT_THAT(Take(), IsEmpty());
  EXPECT_THAT(Take(1), ElementsAre("e"));
}

TEST_F(BatchQueueTest, ShapesDoNotMixAndDoNotBlockEachOther) {
  QueueOptions options = Batches(2);
  options.max_delay = 1;
  Make(options);
  const auto of = [&](const std::string& name, std::vector<int64_t> shape) {
    auto request = Request(name);
    request->shape = std::move(shape);
    Push(request);
  };
  of("lone", {7});
  of("x", {3, 3});
  of("y", {3, 3});
  of("z", {3, 3});
  EXPECT_THAT(Take(0), ElementsAre("x", "y")) << "full, while the first one waits";
  EXPECT_THAT(Take(1), ElementsAre("lone")) << "in its turn";
  EXPECT_THAT(Take(1), ElementsAre("z"));
}

TEST_F(BatchQueueTest, EarlierDeadlinesGoFirstAndNobodyStarves) {
  Make(Batches(1));
  const auto until = [&](const std::string& name, double deadline, double now) {
    auto request = Request(name);
    request->deadline = deadline;
    Push(request, now);
  };
  Push("whenever", 0);
  until("soon", 0.5, 0.1);
  until("sooner", 0.3, 0.2);
  until("late", 100, 0.2);
  EXPECT_THAT(Take(0.2), ElementsAre("sooner"));
  EXPECT_THAT(Take(0.2), ElementsAre("soon"));
  until("pressing", 1.25, 1.1);  // behind those that have waited for so long
  EXPECT_THAT(Take(1.1), ElementsAre("whenever"));
  EXPECT_THAT(Take(1.1), ElementsAre("late"));
  EXPECT_THAT(Take(1.1), ElementsAre("pressing"));
}

TEST_F(BatchQueueTest, ADeadlineCutsTheWaitForOthersShort) {
  QueueOptions options = Batches(8);
  options.max_delay = 1;
  Make(options);
  auto request = Request("a");
  request->deadline = 0.5;
  Push(request, 0);
  EXPECT_DOUBLE_EQ(queue_->Take(0.1).look_again, 0.25) << "half of the time is for the run";
  EXPECT_THAT(Take(0.25), ElementsAre("a"));
  auto slow = Request("slow");
  slow->deadline = 1.5;
  slow->run_seconds = 0.4;
  Push(slow, 1);
  EXPECT_DOUBLE_EQ(queue_->Take(1).look_again, 1.1) << "or what it takes";
}

TEST_F(BatchQueueTest, PrioritiesGoFirst) {
  QueueOptions options = Batches(2);
  options.levels = 3;
  options.default_level = 2;
  EXPECT_EQ(options.LevelOf(0), 2u);
  EXPECT_EQ(options.LevelOf(3), 3u);
  EXPECT_EQ(options.LevelOf(4), 2u) << "there is none";
  Make(options);
  const auto at = [&](const std::string& name, uint64_t level) {
    auto request = Request(name);
    request->level = level;
    Push(request);
  };
  at("third", 3);
  at("second", 2);
  at("first", 1);
  EXPECT_THAT(Take(), ElementsAre("first", "second"));
  EXPECT_THAT(Take(), ElementsAre("third"));
}

TEST_F(BatchQueueTest, IsBoundedByPriority) {
  QueueOptions options = Batches(8);
  options.levels = 2;
  options.policy.max_size = 2;
  options.by_level[2].max_size = 1;
  Make(options);
  Push("a");
  Push("b");
  const absl::Status full = queue_->Push(Request("c"), 0);
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Message(full), "Exceeds maximum queue size: 2 requests wait");
  auto other = Request("d");
  other->level = 2;
  Push(other);
  EXPECT_FALSE(queue_->Push(Request("e"), 0).ok());
  EXPECT_THAT(Take(), ElementsAre("a", "b", "d"));
  Push("f");
}

TEST_F(BatchQueueTest, TimeoutsRefuseOrDelay) {
  QueueOptions options = Batches(1);
  options.policy.timeout = 1;
  options.policy.may_override = true;
  Make(options);
  const auto late = Push("late", 0);
  auto own = Request("own");
  own->timeout = 0.5;
  Push(own, 0);
  auto longer = Request("longer");
  longer->timeout = 50;
  Push(longer, 0);
  EXPECT_DOUBLE_EQ(queue_->NextExpiry(), 0.5);
  EXPECT_THAT(Expire(0.4), IsEmpty());
  EXPECT_THAT(Expire(0.5), ElementsAre("own"));
  EXPECT_EQ(own->status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(Expire(1), UnorderedElementsAre("late", "longer"))
      << "a shorter one counts, no longer one";
  EXPECT_EQ(queue_->NextExpiry(), kNever);

  options.policy.delay = true;
  Make(options);
  Push("delayed", 0);
  auto doomed = Request("doomed");
  doomed->deadline = 3;
  Push(doomed, 0);
  EXPECT_THAT(Expire(1.5), IsEmpty());
  Push("fresh", 1.6);
  EXPECT_THAT(Take(1.7), ElementsAre("fresh"));
  EXPECT_DOUBLE_EQ(queue_->NextExpiry(), 3) << "a deadline ends those that are delayed too";
  EXPECT_THAT(Expire(3), ElementsAre("doomed"));
  EXPECT_THAT(Take(3), ElementsAre("delayed"));
}

TEST_F(BatchQueueTest, AnOrderIsThatOfArrival) {
  QueueOptions options = Batches(1);
  options.in_order = true;
  Make(options);
  Push("first", 0);
  auto pressing = Request("second");
  pressing->deadline = 0.2;
  Push(pressing, 0.1);
  EXPECT_THAT(Take(0.1), ElementsAre("first"));
}

TEST_F(BatchQueueTest, WhoLeavesMakesRoom) {
  QueueOptions options = Batches(4);
  options.policy.max_size = 1;
  Make(options);
  const auto gone = Push("gone");
  EXPECT_FALSE(queue_->Push(Request("refused"), 0).ok());
  EXPECT_NE(queue_->Remove(*gone), nullptr);
  EXPECT_EQ(queue_->Remove(*gone), nullptr);
  Push("next");
  EXPECT_THAT(Take(), ElementsAre("next"));
}

}  // namespace
}  // namespace rlx::server
