// SPDX-License-Identifier: Apache-2.0
// Whose turn it is in which sequence, on a clock that the test has in its hand.
#include "server/scheduling/sequencer.h"

#include <gmock/gmock.h>

#include <map>

#include "runtime/base/status.h"

namespace rlx::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class SequencerTest : public ::testing::Test {
 protected:
  struct Named final : SequencedRequest {
    std::string name;
    SequencerTest* test = nullptr;
    void End() override {
      test->ended_.push_back(name + (status.ok() ? "" : "!"));
      if (sequence != nullptr) test->sequencer_->Ended(*this, status.ok());
    }
  };
  struct Counting final : QueueObserver {
    int refused = 0, expired = 0, gone = 0;
    void Refused() override { ++refused; }
    void Expired() override { ++expired; }
    void Gone() override { ++gone; }
  };
  enum : int { kStart = 1, kEnd = 2 };

  void Make(Sequencer::Options options) {
    Sequencer::Host host;
    host.now = [this] { return now_; };
    host.at = [this](double when, std::function<void()> call) {
      alarms_.emplace(when, std::move(call));
    };
    host.push = [this](const SequencedPtr& request) {
      if (!full_) return queue_.push_back(request);
      request->status = ResourceExhausted("full");
      request->End();
    };
    sequencer_ = std::make_shared<Sequencer>(options, std::move(host), &counts_);
  }
  std::shared_ptr<Named> Request(const std::string& name, const std::string& id, int flags = 0) {
    auto request = std::make_shared<Named>();
    request->name = name;
    request->test = this;
    request->sequence_id = id;
    request->starts = (flags & kStart) != 0;
    request->ends = (flags & kEnd) != 0;
    return request;
  }
  absl::Status Push(const std::string& name, const std::string& id, int flags = 0) {
    return sequencer_->Push(Request(name, id, flags));
  }
  // The queue's requests end, the first one first; what they push meanwhile waits.
  void Run(bool ok = true) {
    const auto now = std::exchange(queue_, {});
    for (const SequencedPtr& request : now) {
      ran_.push_back(static_cast<Named&>(*request).name);
      if (!ok) request->status = Internal("it broke");
      request->End();
    }
  }
  std::vector<std::string> Queued() const {
    std::vector<std::string> names;
    for (const auto& request : queue_) names.push_back(static_cast<Named&>(*request).name);
    return names;
  }
  void Until(double when) {
    while (!alarms_.empty() && alarms_.begin()->first <= when) {
      const auto call = std::move(alarms_.begin()->second);
      now_ = alarms_.begin()->first;
      alarms_.erase(alarms_.begin());
      call();
    }
    now_ = when;
  }

  double now_ = 0;
  bool full_ = false;
  std::multimap<double, std::function<void()>> alarms_;
  std::vector<SequencedPtr> queue_;
  std::vector<std::string> ran_, ended_;
  Counting counts_;
  std::shared_ptr<Sequencer> sequencer_;
};

TEST_F(SequencerTest, RequestsOfOneSequenceAreOneAfterTheOther) {
  Make({.max_active = 4});
  ASSERT_TRUE(Push("a1", "a", kStart).ok());
  ASSERT_TRUE(Push("a2", "a").ok());
  ASSERT_TRUE(Push("b1", "b", kStart).ok());
  ASSERT_TRUE(Push("a3", "a", kEnd).ok());
  EXPECT_THAT(Queued(), ElementsAre("a1", "b1")) << "those of several side by side";
  Run();
  EXPECT_THAT(Queued(), ElementsAre("a2"));
  Run();
  Run();
  EXPECT_THAT(ran_, ElementsAre("a1", "b1", "a2", "a3"));
  EXPECT_EQ(sequencer_->size(), 1u) << "a has ended";
}

TEST_F(SequencerTest, ASequenceBeginsWithAStart) {
  Make({.max_active = 4});
  const absl::Status none = Push("x", "a");
  EXPECT_EQ(none.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(Message(none)), HasSubstr("must specify the START flag"));
  ASSERT_TRUE(Push("a", "a", kStart | kEnd).ok());
  EXPECT_FALSE(Push("after", "a").ok()) << "the end has come, if it has not run";
  ASSERT_TRUE(Push("again", "a", kStart).ok());
  queue_.front()->sequence->states = {"old"};
  Run();
  ASSERT_THAT(Queued(), ElementsAre("again"));
  EXPECT_THAT(queue_.front()->sequence->states, IsEmpty()) << "from the beginning";
}

TEST_F(SequencerTest, WhatFollowsAStartThatFailedFails) {
  Make({.max_active = 4});
  ASSERT_TRUE(Push("a1", "a", kStart).ok());
  ASSERT_TRUE(Push("a2", "a").ok());
  Run(false);
  EXPECT_THAT(ended_, ElementsAre("a1!", "a2!"));
  EXPECT_THAT(Queued(), IsEmpty());
  EXPECT_EQ(sequencer_->size(), 0u);
}

TEST_F(SequencerTest, MoreSequencesWaitForAnEnd) {
  Make({.max_active = 1});
  ASSERT_TRUE(Push("a1", "a", kStart).ok());
  ASSERT_TRUE(Push("b1", "b", kStart).ok());
  ASSERT_TRUE(Push("c1", "c", kStart | kEnd).ok());
  ASSERT_TRUE(Push("b2", "b", kEnd).ok());
  Run();
  EXPECT_THAT(Queued(), IsEmpty());
  ASSERT_TRUE(Push("a2", "a", kEnd).ok());
  while (!queue_.empty()) Run();
  EXPECT_THAT(ran_, ElementsAre("a1", "a2", "b1", "b2", "c1"));
  EXPECT_EQ(sequencer_->size(), 0u);
}

TEST_F(SequencerTest, IdleOnesMakeRoom) {
  Make({.max_active = 1, .max_idle = 2});
  ASSERT_TRUE(Push("a1", "a", kStart).ok());
  Run();
  Until(1.5);
  ASSERT_TRUE(Push("a2", "a").ok());
  Run();
  ASSERT_TRUE(Push("b1", "b", kStart).ok());
  Until(3);
  EXPECT_THAT(Queued(), IsEmpty()) << "a was used at 1.5";
  Until(3.5);
  EXPECT_THAT(Queued(), ElementsAre("b1"));
  EXPECT_FALSE(Push("a3", "a").ok()) << "it is forgotten";
}

TEST_F(SequencerTest, WhoWaitsIsBoundedAndMayGo) {
  Make({.max_active = 1, .max_waiting = 2});
  ASSERT_TRUE(Push("a1", "a", kStart).ok());
  const auto gone = Request("a2", "a");
  ASSERT_TRUE(sequencer_->Push(gone).ok());
  ASSERT_TRUE(Push("b1", "b", kStart).ok());
  EXPECT_EQ(Push("c1", "c", kStart).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(sequencer_->Forget(*gone));
  EXPECT_FALSE(sequencer_->Forget(*gone));
  EXPECT_THAT(ended_, ElementsAre("a2!"));
  ASSERT_TRUE(Push("a3", "a", kEnd).ok());
  while (!queue_.empty()) Run();
  EXPECT_THAT(ran_, ElementsAre("a1", "a3", "b1"));
  EXPECT_EQ(counts_.refused, 1);
  EXPECT_EQ(counts_.gone, 1);
}

TEST_F(SequencerTest, WhoGoesAtItsDeadlineWasTooLate) {
  Make({.max_active = 1});
  ASSERT_TRUE(Push("a1", "a", kStart).ok());
  const auto late = Request("a2", "a");
  late->deadline = 1;
  ASSERT_TRUE(sequencer_->Push(late).ok());
  now_ = 1;
  EXPECT_TRUE(sequencer_->Forget(*late));
  EXPECT_EQ(late->status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(counts_.expired, 1);
}

// Each refusal is the next one's turn: as deep as the stack is a row of them is not.
TEST_F(SequencerTest, ALongRowThatIsRefusedDoesNotNest) {
  Make({.max_active = 1, .max_waiting = 200'000});
  ASSERT_TRUE(Push("first", "a", kStart).ok());
  for (int i = 0; i < 100'000; ++i) ASSERT_TRUE(Push("next", "a").ok());
  full_ = true;
  Run();
  EXPECT_EQ(ended_.size(), 100'001u);
  EXPECT_EQ(sequencer_->waiting(), 0u);
}

TEST_F(SequencerTest, InAHurryIdleOnesMakeRoomAtOnce) {
  Make({.max_active = 1, .max_idle = 1000});
  ASSERT_TRUE(Push("a1", "a", kStart).ok());
  Run();
  ASSERT_TRUE(Push("b1", "b", kStart).ok());
  ASSERT_TRUE(Push("c1", "c", kStart).ok());
  EXPECT_THAT(Queued(), IsEmpty());
  sequencer_->Hurry();
  EXPECT_THAT(Queued(), ElementsAre("b1"));
  Run();
  EXPECT_THAT(Queued(), ElementsAre("c1")) << "nobody goes on with b";
  Run();
  EXPECT_EQ(sequencer_->size(), 0u);
}

}  // namespace
}  // namespace rlx::server
