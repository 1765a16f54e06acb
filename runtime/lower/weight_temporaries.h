// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/device/program.h"

namespace rlx::lower {

// Weight slots that no step of a run reads are needed only while the WeightProgram runs (a
// concatenation before it is packed): moves them to the weight arena (Storage::kArena in
// weight_steps), planned by live ranges, and renumbers the slots that stay.
void FreeWeightTemporaries(device::Program& program, int64_t alignment);

}  // namespace rlx::lower
