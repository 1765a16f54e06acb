// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "runtime/device/program.h"

namespace rlx::device {

// By param: whether `steps` of the program read it where it was bound, their bodies included. Bound
// weights hold those that Program::steps read, and may drop the others once weight steps are done.
std::vector<bool> ParamsRead(const Program& program, const std::vector<Step>& steps);

}  // namespace rlx::device
