// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/routine.h"

#include "runtime/base/status.h"

namespace rlx::cpu {
namespace {

bool Writes(char letter) { return letter == 'w' || letter == 'W'; }
bool MayLack(char letter) { return letter == 'R' || letter == 'W'; }

bool FitsNumbers(const device::Step& step, const Routine& routine) {
  if (step.floats.size() != routine.floats || step.ints.size() < routine.ints) return false;
  const int64_t more = routine.more_ints == nullptr ? 0 : routine.more_ints(step);
  return static_cast<int64_t>(step.ints.size() - routine.ints) == more;
}

// No routine reads where it has written, but by chance of the order.
bool WritesApart(const device::Program& program, const device::Step& step, const Routine& routine) {
  for (size_t w = 0; w < step.buffers.size(); ++w) {
    if (!Writes(routine.buffers[w]) || step.buffers[w] < 0) continue;
    for (size_t other = 0; other < step.buffers.size(); ++other) {
      if (other == w || step.buffers[other] < 0) continue;
      if (Overlap(program.buffers[step.buffers[w]], program.buffers[step.buffers[other]])) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace

absl::Status CheckCall(const device::Program& program, const device::Step& step,
                       const Routine& routine) {
  const auto fault = [&](std::string_view what) {
    return DataLoss("step \"", step.label, "\" calls ", routine.name, " ", what);
  };
  if (step.buffers.size() != routine.buffers.size()) return fault("with too few or many buffers");
  for (size_t i = 0; i < step.buffers.size(); ++i) {
    if (step.buffers[i] >= 0) {
      const Storage storage = program.buffers[step.buffers[i]].storage;
      const bool fixed =
          storage == Storage::kInput || storage == Storage::kParam || storage == Storage::kConstant;
      if (Writes(routine.buffers[i]) && fixed) return fault("to write what it may only read");
    } else if (!MayLack(routine.buffers[i])) {
      return fault("without a buffer that it needs");
    }
  }
  if (!FitsNumbers(step, routine)) return fault("with too few or many numbers");
  if (!WritesApart(program, step, routine)) return fault("with a result over an operand");
  return absl::OkStatus();
}

}  // namespace rlx::cpu
