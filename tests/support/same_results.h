// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <gtest/gtest.h>

#include "runtime/ir/evaluate.h"
#include "runtime/ir/graph.h"

namespace rlx::test {

// A value for every input and param of a static graph: floats in [-1, 1), integers in [0, 3),
// booleans. By name alone, so that two graphs with one signature get the same.
TensorMap RandomInputs(const Graph& graph, uint64_t seed);

// Whether two graphs with one signature have outputs of one name, type and, on random inputs,
// value: exact ones equal, floats within `tolerance` of theirs or of the output's greatest.
::testing::AssertionResult SameResults(const Graph& before, const Graph& after, uint64_t seed,
                                       double tolerance = 1e-5);

// The same of graphs that may fail: where an output depends on what fails both fail, with one code,
// and errors of dead code may vanish (expected_run.h).
::testing::AssertionResult SameOutcome(const Graph& before, const Graph& after, uint64_t seed,
                                       double tolerance = 1e-5);

}  // namespace rlx::test
