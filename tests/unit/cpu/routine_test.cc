// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/routine.h"

#include <gtest/gtest.h>

// What a step must give the routine that it names.
namespace rlx::cpu {
namespace {

using device::Program;
using device::Step;

// C = act(A B + bias) + residual with all five buffers apart.
struct Call {
  Program program;
  Step step;
  const Routine* routine = FindRoutine("gemm_packed");

  Call() {
    for (int64_t b = 0; b < 4; ++b) program.buffers.push_back({Storage::kInput, int32_t(b), 0, 64});
    program.buffers.push_back({Storage::kArena, 0, 64, 64});
    step = {.kind = Step::Kind::kCall,
            .routine = "gemm_packed",
            .buffers = {0, 1, 2, 3, 4},
            .ints = {4, 4, 4, 4, 0},
            .label = "product"};
  }
  std::string Why() const {
    const absl::Status status = CheckCall(program, step, *routine);
    return status.ok() ? "" : std::string(status.message());
  }
};

TEST(CheckCall, TakesWhatTheRowSays) {
  Call call;
  EXPECT_EQ(call.Why(), "");
  call.step.buffers[2] = call.step.buffers[3] = -1;  // bias and residual may be absent
  EXPECT_EQ(call.Why(), "");
}

TEST(CheckCall, CountsBuffersAndNumbers) {
  Call fewer;
  fewer.step.buffers.pop_back();
  EXPECT_EQ(fewer.Why(), "step \"product\" calls gemm_packed with too few or many buffers");
  Call absent;
  absent.step.buffers[0] = -1;
  EXPECT_EQ(absent.Why(), "step \"product\" calls gemm_packed without a buffer that it needs");
  for (int change : {-1, 1}) {
    Call numbers;
    numbers.step.ints.resize(numbers.step.ints.size() + static_cast<size_t>(change));
    EXPECT_EQ(numbers.Why(), "step \"product\" calls gemm_packed with too few or many numbers");
  }
  Call floats;
  floats.step.floats = {1};
  EXPECT_NE(floats.Why(), "");
}

TEST(CheckCall, CountsTheIntsThatOthersAnnounce) {
  Call call;
  call.routine = FindRoutine("gemm");
  call.step.ints = {1, 1, 1, 1, 1, 0, 0, 2};
  EXPECT_NE(call.Why(), "");
  call.step.ints.resize(8 + 2 * 4);
  EXPECT_EQ(call.Why(), "");
  call.step.ints[7] = -1;
  EXPECT_NE(call.Why(), "");
  call.step.ints[7] = int64_t{1} << 62;
  EXPECT_NE(call.Why(), "");
}

TEST(CheckCall, WritesApartFromWhatItReads) {
  Call call;
  call.program.buffers[3] = {Storage::kArena, 0, 96, 64};
  EXPECT_EQ(call.Why(), "step \"product\" calls gemm_packed with a result over an operand");
  call.program.buffers[3].offset = 128;
  EXPECT_EQ(call.Why(), "");
  call.program.buffers[4] = call.program.buffers[3];
  EXPECT_EQ(call.Why(), "step \"product\" calls gemm_packed with a result over an operand");
}

TEST(CheckCall, WritesToNothingThatIsOnlyRead) {
  for (Storage storage : {Storage::kInput, Storage::kParam, Storage::kConstant}) {
    Call call;
    call.program.buffers[4] = {storage, 9, 0, 64};
    EXPECT_EQ(call.Why(), "step \"product\" calls gemm_packed to write what it may only read");
  }
}

}  // namespace
}  // namespace rlx::cpu
