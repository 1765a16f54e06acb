// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/params_read.h"

namespace rlx::device {
namespace {

// The verified nesting of steps bounds the recursion.
void Mark(const Program& program, const std::vector<Step>& steps, std::vector<bool>& read) {
  for (const Step& step : steps) {
    for (int32_t number : step.buffers) {
      if (number < 0) continue;
      const Buffer& buffer = program.buffers[number];
      if (buffer.storage == Storage::kParam) read[buffer.index] = true;
    }
    for (const std::vector<Step>& body : step.bodies) Mark(program, body, read);
  }
}

}  // namespace

std::vector<bool> ParamsRead(const Program& program, const std::vector<Step>& steps) {
  std::vector<bool> read(program.params.size());
  Mark(program, steps, read);
  return read;
}

}  // namespace rlx::device
