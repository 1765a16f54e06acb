// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/run_steps.h"

#include <algorithm>
#include <cstring>

#include "backends/cpu/routine.h"
#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "runtime/base/thread_pool.h"

namespace rlx::cpu {
namespace {

using device::LoopParts;
using device::Step;

// Below this a launch stays on one thread: handing work over costs a few microseconds.
constexpr int64_t kParallelBytes = 128 << 10;
// Flops, or bytes, that a launch does between two looks at the token: about a millisecond.
constexpr int64_t kPieceWork = int64_t{4} << 20;
// So many turns of a loop a trace shows step by step.
constexpr int64_t kTracedTurns = 4;

// Times the step that it lives for, if anybody asks.
class StepTimer {
 public:
  StepTimer(std::vector<device::StepTime>* trace, const Step& step) : trace_(trace) {
    if (trace_ == nullptr) return;
    at_ = trace_->size();
    trace_->push_back({&step, MonotonicSeconds(), 0});
  }
  ~StepTimer() {
    if (trace_ != nullptr) (*trace_)[at_].end = MonotonicSeconds();
  }
  StepTimer(const StepTimer&) = delete;
  StepTimer& operator=(const StepTimer&) = delete;

 private:
  std::vector<device::StepTime>* const trace_;
  size_t at_ = 0;
};

void RunLaunch(const Prepared& prepared, const Frame& frame, std::span<void*> arguments) {
  const Step& step = *prepared.step;
  if (step.cost_bytes < kParallelBytes) {
    prepared.kernel(arguments.data(), step.ints.data(), 0, step.groups);
    return;
  }
  const int64_t pieces = std::max<int64_t>(int64_t{4} * frame.team.size(),
                                           (step.cost_bytes + step.cost_flops) / kPieceWork);
  const int64_t grain = std::max<int64_t>(1, step.groups / pieces);
  frame.team.ParallelFor(0, step.groups, grain, [&](int64_t begin, int64_t end, int) {
    prepared.kernel(arguments.data(), step.ints.data(), begin, end);
  });
}

bool Holds(const Frame& frame, int32_t condition) {
  return *static_cast<const uint8_t*>(frame.addresses[condition]) != 0;
}

void Shift(void*& address, int64_t bytes) { address = static_cast<std::byte*>(address) + bytes; }

// From turn `turn` to the next.
void Advance(const LoopParts& loop, int64_t turn, std::span<void*> addresses) {
  const int64_t way = turn % 2 == 0 ? 1 : -1;
  for (size_t m = 0; m < loop.moving.size(); ++m) {
    Shift(addresses[loop.moving[m]], loop.strides[m] * (m < loop.swinging ? way : 1));
  }
}

// Back to turn 0.
void Rewind(const LoopParts& loop, int64_t turn, std::span<void*> addresses) {
  for (size_t m = 0; m < loop.moving.size(); ++m) {
    Shift(addresses[loop.moving[m]], -loop.strides[m] * (m < loop.swinging ? turn % 2 : turn));
  }
}

absl::Status RunLoop(const Prepared& prepared, const Frame& frame, const CancelToken& cancel) {
  const LoopParts loop(*prepared.step);
  const auto run = [&](LoopParts::Body body, const Frame& in) {
    return RunSteps(prepared.bodies[body], in, cancel);
  };
  Frame turn_frame = frame;
  int64_t turn = 0;
  for (;; ++turn) {
    RLX_TRY(cancel.Check());
    if (turn == kTracedTurns) turn_frame.trace = nullptr;
    if (loop.condition >= 0 && (turn < loop.most || loop.must_end)) {
      RLX_TRY(run(LoopParts::kHolds, turn_frame));
      if (!Holds(frame, loop.condition)) break;
    }
    if (turn == loop.most) break;
    RLX_TRY(run(LoopParts::kTurn, turn_frame));
    Advance(loop, turn, frame.addresses);
  }
  if (turn == loop.most && loop.must_end && Holds(frame, loop.condition)) {
    return InvalidArgument("the condition of ", prepared.step->label, " still holds after ", turn,
                           " iterations");
  }
  RLX_TRY(run(LoopParts::kLeave, frame));
  Rewind(loop, turn, frame.addresses);
  return absl::OkStatus();
}

absl::Status RunStep(const Prepared& prepared, const Frame& frame, const CancelToken& cancel) {
  const Step& step = *prepared.step;
  const std::span<void*> arguments = frame.arguments.first(step.buffers.size());
  for (size_t i = 0; i < step.buffers.size(); ++i) {
    arguments[i] = step.buffers[i] < 0 ? nullptr : frame.addresses[step.buffers[i]];
  }
  switch (step.kind) {
    case Step::Kind::kLaunch:
      RunLaunch(prepared, frame, arguments);
      break;
    case Step::Kind::kCall:
      return prepared.routine->run(
          {frame.math, frame.team, cancel, step, arguments, frame.scratch});
    case Step::Kind::kCopy:
      std::memcpy(arguments[1], arguments[0], static_cast<size_t>(prepared.copy_bytes));
      break;
    case Step::Kind::kBranch:
      return RunSteps(prepared.bodies[Holds(frame, step.buffers[0]) ? 0 : 1], frame, cancel);
    case Step::Kind::kLoop:
      return RunLoop(prepared, frame, cancel);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RunSteps(std::span<const Prepared> steps, const Frame& frame,
                      const CancelToken& cancel) {
  RLX_TRY(cancel.Check());
  for (const Prepared& prepared : steps) {
    const StepTimer timer(frame.trace, *prepared.step);
    RLX_TRY(RunStep(prepared, frame, cancel));
    RLX_TRY(cancel.Check());  // the team may have left pieces out
  }
  return absl::OkStatus();
}

}  // namespace rlx::cpu
