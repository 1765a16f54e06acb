// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/tensor/host_tensor.h"

// What masks of attention say that are known while compiling.
namespace rlx::passes {

// Filled with less, or lessened by it, a score leaves nothing of its weight beside another.
inline constexpr double kFarBelow = -1e4;

// Of bools, whether every row along the last axis has one that counts: a true one, or where the
// mask `drops` a false one.
bool CountsInEachRow(const HostTensor& choice, bool drops);

// Whether query i of the second to last axis sees keys 0 to i + keys - queries of the last one, and
// no others: by a bool that says so, or by what is added, 0 or far below.
bool IsCausal(const HostTensor& mask, bool drops);

}  // namespace rlx::passes
