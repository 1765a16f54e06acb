// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <functional>

#include "runtime/wire/artifact.h"

// A program that decodes is one that a device can run: each fault alone is refused.
namespace rlx::wire {
namespace {

using device::Program;
using device::Step;

TensorType Row() { return {DType::kF32, {Dim(16)}}; }

// weights: slot = pack(param); run: arena = kernel(input, slot), branch, output = arena, and a loop
// of four turns that copies a quarter of the input into the two halves of an arena buffer in turn
// and from there to the output.
Program Sound() {
  Program p;
  p.inputs = {{"x", Row()}};
  p.params = {{"w", Row()}};
  p.outputs = {{"y", Row()}};
  p.buffers = {{Storage::kInput, 0, 0, 64},  {Storage::kParam, 0, 0, 64},
               {Storage::kWeight, 0, 0, 64}, {Storage::kArena, 0, 0, 64},
               {Storage::kOutput, 0, 0, 64}, {Storage::kArena, 0, 64, 64}};
  p.weight_slots = {64};
  p.arena_bytes = 64;
  p.scratch_bytes = 64;
  p.kernels = {{"k0", "rrw", 1}, {"k1", "rw", 0}};
  p.object = "code";
  p.aliases = {{0, 0}};
  const Step pack{.kind = Step::Kind::kLaunch, .kernel = 1, .groups = 1, .buffers = {1, 2}};
  const Step launch{
      .kind = Step::Kind::kLaunch, .kernel = 0, .groups = 1, .buffers = {0, 2, 3}, .ints = {7}};
  const Step copy{.kind = Step::Kind::kCopy, .buffers = {3, 4}};
  const Step branch{.kind = Step::Kind::kBranch, .buffers = {3}, .bodies = {{launch}, {}}};
  p.buffers.push_back({Storage::kInput, 0, 0, 16});   // 6
  p.buffers.push_back({Storage::kOutput, 0, 0, 16});  // 7
  p.buffers.push_back({Storage::kArena, 0, 64, 16});  // 8
  p.buffers.push_back({Storage::kArena, 0, 80, 16});  // 9
  p.buffers.push_back({Storage::kArena, 0, 112, 1});  // 10
  const Step in{.kind = Step::Kind::kCopy, .buffers = {6, 9}};
  const Step out{.kind = Step::Kind::kCopy, .buffers = {9, 7}};
  const Step last{.kind = Step::Kind::kCopy, .buffers = {8, 9}};
  Step loop{.kind = Step::Kind::kLoop, .buffers = {10, 8, 9, 6, 7}};
  loop.ints = {4, 0, 2, 16, -16, 16, 16};
  loop.bodies = {{}, {in, out}, {last}};
  p.weight_steps = {pack};
  p.steps = {launch, branch, copy, loop};
  return p;
}

struct Spoil {
  const char* what;
  std::function<void(Program&)> how;
};

class SpoiledProgram : public ::testing::TestWithParam<Spoil> {};

TEST(CheckProgram, TakesASoundProgram) {
  const absl::Status status = CheckProgram(Sound());
  EXPECT_TRUE(status.ok()) << status;
}

TEST_P(SpoiledProgram, IsRefused) {
  Program p = Sound();
  GetParam().how(p);
  EXPECT_EQ(CheckProgram(p).code(), absl::StatusCode::kDataLoss);
}

const Spoil kSpoils[] = {
    {"KernelUnknown", [](Program& p) { p.steps[0].kernel = 2; }},
    {"KernelNegative", [](Program& p) { p.steps[0].kernel = -1; }},
    {"KernelOfOtherShape", [](Program& p) { p.steps[0].kernel = 1; }},
    {"GroupsNegative", [](Program& p) { p.steps[0].groups = -1; }},
    {"LaunchLacksABuffer", [](Program& p) { p.steps[0].buffers.pop_back(); }},
    {"LaunchHasABufferMore", [](Program& p) { p.steps[0].buffers.push_back(0); }},
    {"LaunchBufferAbsent", [](Program& p) { p.steps[0].buffers[1] = -1; }},
    {"LaunchBufferUnknown", [](Program& p) { p.steps[0].buffers[1] = 11; }},
    {"LaunchLacksAScalar", [](Program& p) { p.steps[0].ints.clear(); }},
    {"LaunchHasAScalarMore", [](Program& p) { p.steps[0].ints.push_back(0); }},
    {"WritesTheInput", [](Program& p) { p.steps[0].buffers[2] = 0; }},
    {"WritesAParam", [](Program& p) { p.steps[0].buffers[2] = 1; }},
    {"WritesAWeightInARun", [](Program& p) { p.steps[0].buffers[2] = 2; }},
    {"CopiesToTheInput", [](Program& p) { p.steps[2].buffers[1] = 0; }},
    {"CopyLacksItsTarget", [](Program& p) { p.steps[2].buffers.pop_back(); }},
    {"CopyOfUnequalSizes", [](Program& p) { p.buffers[3].bytes = 32; }},
    {"BranchWithOneBody", [](Program& p) { p.steps[1].bodies.pop_back(); }},
    {"BranchOnNothing", [](Program& p) { p.buffers[3].bytes = 0; }},
    {"BodiesWhereNoneBelong", [](Program& p) { p.steps[2].bodies = {{}}; }},
    {"LoopWithTwoBodies", [](Program& p) { p.steps[3].bodies.pop_back(); }},
    {"LoopWithoutBuffers", [](Program& p) { p.steps[3].buffers.clear(); }},
    {"LoopWithoutNumbers", [](Program& p) { p.steps[3].ints.clear(); }},
    {"LoopLacksAStride", [](Program& p) { p.steps[3].ints.pop_back(); }},
    {"LoopHasAStrideMore", [](Program& p) { p.steps[3].ints.push_back(16); }},
    {"LoopOfNoTurns", [](Program& p) { p.steps[3].ints[0] = 0; }},
    {"LoopOfTooManyTurns", [](Program& p) { p.steps[3].ints[0] = 5; }},
    {"LoopOfEndlessTurns", [](Program& p) { p.steps[3].ints[0] = INT64_MAX; }},
    {"LoopSwingsTooMany", [](Program& p) { p.steps[3].ints[2] = 5; }},
    {"LoopSwingsFewerThanNone", [](Program& p) { p.steps[3].ints[2] = -1; }},
    {"LoopSwingsTooFar", [](Program& p) { p.steps[3].ints[3] = 64; }},
    {"LoopSwingsTooLow", [](Program& p) { p.steps[3].ints[4] = -96; }},
    {"LoopSwingsWhereItShouldStep", [](Program& p) { p.steps[3].ints[2] = 0; }},
    {"LoopStepsTooFar", [](Program& p) { p.steps[3].ints[5] = 17; }},
    {"LoopStepsBack", [](Program& p) { p.steps[3].ints[6] = -16; }},
    {"LoopStepOverflows", [](Program& p) { p.steps[3].ints[6] = INT64_MIN; }},
    {"LoopMovesABufferTwice", [](Program& p) { p.steps[3].buffers[2] = 8; }},
    {"LoopMovesNothing", [](Program& p) { p.steps[3].buffers[3] = -1; }},
    {"LoopMovesAnUnknownBuffer", [](Program& p) { p.steps[3].buffers[3] = 11; }},
    {"LoopMovesItsCondition", [](Program& p) { p.steps[3].buffers[0] = 8; }},
    {"LoopConditionOfNoBytes", [](Program& p) { p.buffers[10].bytes = 0; }},
    {"LoopMustEndWithoutACondition",
     [](Program& p) {
       p.steps[3].buffers[0] = -1;
       p.steps[3].ints[1] = 1;
     }},
    {"LoopEvaluatesNothing",
     [](Program& p) {
       p.steps[3].buffers[0] = -1;
       p.steps[3].bodies[0] = p.steps[3].bodies[2];
     }},
    // Behind its last turn a loop has moved on once more.
    {"LoopLeavesWithASlice", [](Program& p) { p.steps[3].bodies[2] = p.steps[3].bodies[1]; }},
    {"LoopAroundALoopThatMovesTheSame",
     [](Program& p) {
       Step outer = p.steps[3];
       outer.bodies = {{}, {p.steps[3]}, {}};
       p.steps[3] = outer;
     }},
    {"FaultInALoop", [](Program& p) { p.steps[3].bodies[1][0].buffers[1] = 6; }},
    {"FaultInABody", [](Program& p) { p.steps[1].bodies[0][0].ints.clear(); }},
    {"WeightStepReadsARequest", [](Program& p) { p.weight_steps[0].buffers[0] = 0; }},
    {"WeightStepWritesAParam", [](Program& p) { p.weight_steps[0].buffers[1] = 1; }},
    {"BufferPastItsTensor", [](Program& p) { p.buffers[0].offset = 4; }},
    {"BufferOfNoTensor", [](Program& p) { p.buffers[0].index = 1; }},
    {"BufferPastItsArena", [](Program& p) { p.buffers[5].bytes = 128; }},
    {"BufferBeforeItsArena", [](Program& p) { p.buffers[5].offset = -4; }},
    {"BufferOverflows", [](Program& p) { p.buffers[5].offset = INT64_MAX; }},
    {"BufferIsAView", [](Program& p) { p.buffers[5].storage = Storage::kView; }},
    {"ArenaNegative", [](Program& p) { p.scratch_bytes = -1; }},
    {"WeightSlotHuge", [](Program& p) { p.weight_slots[0] = int64_t{1} << 60; }},
    {"SignatureIsNone", [](Program& p) { p.kernels[0].buffers = "rxw"; }},
    {"ScalarsNegative", [](Program& p) { p.kernels[1].scalars = -1; }},
    {"AliasOfNoInput", [](Program& p) { p.aliases[0].input = 1; }},
    {"AliasOfNoOutput", [](Program& p) { p.aliases[0].output = -1; }},
};

INSTANTIATE_TEST_SUITE_P(EachWay, SpoiledProgram, ::testing::ValuesIn(kSpoils),
                         [](const auto& info) { return std::string(info.param.what); });

}  // namespace
}  // namespace rlx::wire
