// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "runtime/ir/graph.h"

namespace rlx::passes {

// By node: whether it is an input whose buffer an output may take. All that reads it has to run
// before that output is made, and it is no output itself: a rewrite that hands the input to readers
// of something computed from it could break both.
std::vector<bool> DonatedInputs(const Graph& graph);

}  // namespace rlx::passes
