// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/base/sha256.h"
#include "runtime/device/program.h"

namespace rlx::engine {

// Names what binding weights to a program makes: two programs with one digest can share a
// WeightSet. Covers the target, the params and which of them runs read (the others are dropped when
// they are packed), the slots and the WeightProgram with all that it reads; kernels by the whole
// object code, so programs of different shapes share only where packing is calls alone.
Digest256 WeightProgramDigest(const device::Program& program);

}  // namespace rlx::engine
