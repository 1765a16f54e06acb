// SPDX-License-Identifier: Apache-2.0
// Random loops and branches, nested in each other, some of which fail.
#pragma once

#include <cstdint>

#include "runtime/ir/graph.h"

namespace rlx::test {

// A static graph of one matrix and one counter that go through loops and branches, three deep and
// more. Floats stay near 0 and decide nothing. Some read a row by the counter: where there is no
// such row a run fails, unless a branch asks first. The same seed gives the same graph.
Graph RandomLoops(uint64_t seed);

}  // namespace rlx::test
