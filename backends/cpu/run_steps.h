// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "backends/cpu/codegen/codegen.h"
#include "runtime/device/backend.h"

namespace rlx {
class Team;
}

namespace rlx::cpu {

struct MathKernels;
struct Routine;

// A step with its names resolved.
struct Prepared {
  const device::Step* step = nullptr;
  const Routine* routine = nullptr;
  KernelFn kernel = nullptr;
  int64_t copy_bytes = 0;
  std::vector<std::vector<Prepared>> bodies;
};

// What steps run on.
struct Frame {
  const MathKernels& math;
  Team& team;
  std::span<void*> addresses;  // of every buffer, by number; loops move some while they run
  std::span<void*> arguments;  // room for the buffers of one step
  void* scratch = nullptr;
  std::vector<device::StepTime>* trace = nullptr;  // null: nobody asks
};

// Runs steps in their order; of a loop the trace shows the first few turns. Allocates nothing but
// what the trace grows by. Cancelled and DeadlineExceeded within milliseconds, in the middle of a
// step too where it takes longer and frame.team obeys the token; after any error the addresses are
// of no use.
absl::Status RunSteps(std::span<const Prepared> steps, const Frame& frame,
                      const CancelToken& cancel);

}  // namespace rlx::cpu
