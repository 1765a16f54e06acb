// SPDX-License-Identifier: Apache-2.0
// Which values share, which do not, and which are part of another.
#include <gmock/gmock.h>

#include <algorithm>

#include "runtime/base/text.h"
#include "runtime/ir/text.h"
#include "runtime/ir/verify.h"
#include "runtime/lower/lower.h"
#include "tests/support/graphs.h"

namespace rlx::lower {
namespace {

using ::testing::ElementsAre;

struct Planned {
  Graph graph;
  BufferPlan plan;

  const Assignment& At(NodeId node) const {
    for (const Assignment& a : plan.assignments) {
      if (a.value == Value{node, 0}) return a;
    }
    ADD_FAILURE() << node;
    return plan.assignments.front();
  }
};

Planned PlanOf(std::string_view text, int64_t alignment = 64) {
  Planned out{.graph = test::ParseGraph(text), .plan = {}};
  auto plan = PlanBuffers(out.graph, {.alignment = alignment}, nullptr);
  EXPECT_TRUE(plan.ok()) << Cat(plan.status());
  if (plan.ok()) out.plan = *std::move(plan);
  const absl::Status verified = VerifyPlan(out.graph, out.plan, nullptr);
  EXPECT_TRUE(verified.ok()) << Cat(verified);
  return out;
}

// The choice of a token ends what every turn of a decoder runs; a top-k in the middle, of a router
// say, is a choice too, and what computes after it is not.
TEST(PlanBuffers, ChoicesAndWhatFollowsTheLastComputationAreTheTail) {
  const Planned p = PlanOf(R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,4]
    %2 = topk(%0) {k = 4, axis = 1}
    %3 = matmul(%2, %1)
    %4 = neg(%3)
    %5 = sample(%4)
    %6 = add(%5, %5)
    output "token" = %6
  })");
  using enum Phase;
  EXPECT_THAT(p.plan.phases, ElementsAre(kPrologue, kPrologue, kEpilogue, kSteadyState, kEpilogue,
                                         kEpilogue, kEpilogue));
}

// What follows the last sample is the tail, whatever it is.
TEST(PlanBuffers, TheTailBeginsAtTheLastSample) {
  const Planned p = PlanOf(R"(mir "m" {
    %0 = input "x" : f32[4,4]
    %1 = matmul(%0, %0)
    %2 = sample(%1)
    %3 = matmul(%1, %0)
    output "token" = %2
    output "y" = %3
  })");
  using enum Phase;
  EXPECT_THAT(p.plan.phases, ElementsAre(kPrologue, kSteadyState, kEpilogue, kEpilogue));
}

TEST(PlanBuffers, LivesThatDoNotMeetShareASlot) {
  const Planned p = PlanOf(R"(mir "m" {
    %0 = input "x" : f32[64]
    %1 = tanh(%0)
    %2 = exp(%1)
    %3 = neg(%2)
    %4 = sin(%3)
    output "y" = %4
  })");
  EXPECT_EQ(p.At(1).offset, p.At(3).offset);
  EXPECT_NE(p.At(1).offset, p.At(2).offset);
  EXPECT_EQ(p.plan.arena_bytes, 2 * 256);
  EXPECT_EQ(p.plan.unshared_bytes, 3 * 256);
  EXPECT_EQ(ArenaLowerBound(p.graph, p.plan), p.plan.arena_bytes);
}

TEST(PlanBuffers, LivesThatMeetDoNotShare) {
  const Planned p = PlanOf(R"(mir "m" {
    %0 = input "x" : f32[64]
    %1 = tanh(%0)
    %2 = exp(%0)
    %3 = neg(%0)
    %4 = add(%1, %2)
    %5 = add(%4, %3)
    output "y" = %5
  })");
  EXPECT_EQ(p.plan.arena_bytes, p.plan.unshared_bytes);
  EXPECT_EQ(p.plan.arena_bytes, 4 * 256);
}

// A chain of views takes no slot of its own, lies where its links put it, and keeps its root alive.
TEST(PlanBuffers, ViewsAreParts) {
  const Planned p = PlanOf(R"(mir "m" {
    %0 = input "x" : f32[4,8]
    %1 = tanh(%0)
    %2 = narrow(%1) {axis = 0, start = 1, length = 2}
    %3 = reshape(%2) {shape = [16]}
    %4 = narrow(%3) {axis = 0, start = 8, length = 8}
    %5 = exp(%0)
    %6 = reduce_sum(%5) {axes = [0]}
    %7 = add(%4, %6)
    output "y" = %7
  })");
  for (const NodeId view : {2, 3, 4}) {
    EXPECT_EQ(p.At(view).storage, Storage::kView);
    EXPECT_EQ(p.At(view).root, (Value{1, 0}));
  }
  EXPECT_EQ(p.At(2).element_offset, 8);  // 32 bytes
  EXPECT_EQ(p.At(3).element_offset, 8);
  EXPECT_EQ(p.At(4).element_offset, 16);
  EXPECT_NE(p.At(5).offset, p.At(1).offset);  // read through a view when %5 has data
  EXPECT_EQ(p.plan.unshared_bytes, 128 + 128 + 32);
}

// Inputs, weights, constants and outputs are no part of the arena.
TEST(PlanBuffers, TheArenaHoldsWhatOneRunMakes) {
  const Planned p = PlanOf(R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,4]
    %2 = constant {value = f32[4] (1, 2, 3, 4)}
    %3 = transpose(%1) {perm = [1,0]}
    %4 = matmul(%0, %3)
    %5 = add(%4, %2)
    output "y" = %5
  })");
  std::vector<Storage> storage;
  for (NodeId id = 0; id < p.graph.size(); ++id) storage.push_back(p.At(id).storage);
  EXPECT_THAT(storage, ElementsAre(Storage::kInput, Storage::kParam, Storage::kConstant,
                                   Storage::kWeight, Storage::kArena, Storage::kOutput));
  EXPECT_EQ(p.plan.arena_bytes, 32);
}

TEST(PlanBuffers, SlotsAreAligned) {
  for (const int64_t alignment : {16, 64, 4096}) {
    const Planned p = PlanOf(R"(mir "m" {
      %0 = input "x" : f32[5]
      %1 = tanh(%0)
      %2 = exp(%0)
      %3 = add(%1, %2)
      output "y" = %3
    })",
                             alignment);
    EXPECT_EQ(p.plan.alignment, alignment);
    EXPECT_EQ((p.At(1).offset + p.At(2).offset) % alignment, 0);
    EXPECT_EQ(p.plan.arena_bytes, std::max<int64_t>(32, alignment) + 20);
  }
}

}  // namespace
}  // namespace rlx::lower
