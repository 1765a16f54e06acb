// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/kernel/kernel.h"

namespace rlx::kernel {

// What of a kernel is the same in every lane of a group. `kernel` need not be verified beyond
// brackets and operands.
struct Uniformity {
  std::vector<bool> value;    // by instruction: its result (of a cell: all that is ever kept in it)
  std::vector<bool> reached;  // by instruction: it stands under no `if` that lanes may disagree on
};
Uniformity FindUniform(const Kernel& kernel);

// By instruction: signed integers made of ids, loop counters, constants and scalars alone (see
// Op::kAdd), at least one of them not a constant.
std::vector<bool> FindIndices(const Kernel& kernel);

}  // namespace rlx::kernel
