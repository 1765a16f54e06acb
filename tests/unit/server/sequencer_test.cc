// SPDX-License-Identifier: Apache-2.0
// Whose turn it is in which sequence, on a clock that the test has in its hand.
#include "server/scheduling/sequencer.h"

#include <gmock/gmock.h>

#include <map>
#include <random>
#include <set>

#include "runtime/base/status.h"
#include "runtime/base/text.h"

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

// What has gone before it ran is no start, and no end that never comes.
TEST_F(SequencerTest, AStartThatHasGoneLeavesNothingToGoOnWith) {
  Make({.max_active = 1});
  ASSERT_TRUE(Push("old1", "a", kStart).ok());
  const auto start = Request("new1", "a", kStart);
  ASSERT_TRUE(sequencer_->Push(start).ok());
  ASSERT_TRUE(Push("new2", "a").ok());
  ASSERT_TRUE(Push("b1", "b", kStart).ok());
  EXPECT_TRUE(sequencer_->Forget(*start));
  Run();
  EXPECT_THAT(ended_, ElementsAre("new1!", "old1", "new2!")) << "not with the old one's states";
  EXPECT_THAT(Queued(), ElementsAre("b1")) << "nobody can go on with a";
  EXPECT_FALSE(Push("new3", "a").ok());
}

TEST_F(SequencerTest, AnEndThatHasGoneIsAnEnd) {
  Make({.max_active = 1, .max_idle = 1000});
  ASSERT_TRUE(Push("a1", "a", kStart).ok());
  const auto end = Request("a2", "a", kEnd);
  ASSERT_TRUE(sequencer_->Push(end).ok());
  ASSERT_TRUE(Push("b1", "b", kStart).ok());
  EXPECT_TRUE(sequencer_->Forget(*end));
  Run();
  EXPECT_THAT(Queued(), ElementsAre("b1"));
}

// Whatever comes in whatever order: each request ends once, one of a sequence at a time, of no more
// sequences than may be, with the states of its own start and of no other's, in the order in which
// they came; and nothing stays.
TEST_F(SequencerTest, NoOrderOfEventsMixesOrLosesAny) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    std::mt19937 random(seed);
    const auto one_of = [&](uint32_t n) { return random() % n; };
    const size_t most = 1 + one_of(3);
    Make({.max_active = most, .max_waiting = 12, .max_idle = 3});
    queue_.clear();
    alarms_.clear();
    ended_.clear();
    std::map<std::string, int> starts;          // by id: how many have come
    std::map<std::string, int> last;            // by id: the last that ran
    std::map<std::string, std::string> follow;  // by request: its start
    std::vector<std::shared_ptr<Named>> pushed;
    for (int step = 0; step < 120; ++step) {
      const uint32_t what = one_of(10);
      if (what < 5) {
        const std::string id(1, static_cast<char>('a' + one_of(5)));
        const int flags = (one_of(3) == 0 ? kStart : 0) | (one_of(4) == 0 ? kEnd : 0);
        const auto request = Request(Cat(pushed.size()), id, flags);
        if (!sequencer_->Push(request).ok()) continue;
        if (request->starts) ++starts[id];
        follow[request->name] = Cat(id, starts[id]);
        pushed.push_back(request);
      } else if (what < 8 && !queue_.empty()) {
        const auto place = queue_.begin() + one_of(static_cast<uint32_t>(queue_.size()));
        const SequencedPtr request = *place;
        queue_.erase(place);
        auto& named = static_cast<Named&>(*request);
        auto& states = named.sequence->states;
        if (states.empty()) {
          ASSERT_TRUE(named.starts) << named.name;
          states = {follow[named.name]};
        }
        ASSERT_THAT(states, ElementsAre(follow[named.name])) << "seed " << seed;
        const int number = std::stoi(named.name);
        ASSERT_GE(number, std::exchange(last[named.sequence_id], number));
        if (one_of(5) == 0) named.status = Internal("it broke");
        named.End();
      } else if (what == 8 && !pushed.empty()) {
        sequencer_->Forget(*pushed[one_of(static_cast<uint32_t>(pushed.size()))]);
      } else if (what == 9) {
        Until(now_ + one_of(3));
      }
      std::set<std::string> running;
      for (const auto& queued : queue_) {
        ASSERT_TRUE(running.insert(queued->sequence_id).second) << "seed " << seed;
      }
      ASSERT_LE(running.size(), most);
    }
    while (!queue_.empty() || !alarms_.empty()) {
      Run();
      Until(now_ + 1);
    }
    ASSERT_EQ(ended_.size(), pushed.size()) << "seed " << seed;
    ASSERT_EQ(sequencer_->size(), 0u) << "seed " << seed;
    ASSERT_EQ(sequencer_->waiting(), 0u) << "seed " << seed;
  }
}

}  // namespace
}  // namespace rlx::server
