// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include "runtime/ir/evaluate.h"
#include "runtime/ir/tolerance.h"

namespace rlx::test {

// What double arithmetic on both sides may differ by, and constants kept in f32.
inline constexpr Tolerance kSameInDouble = {1e-6, 1e-6};

// EXPECT_TRUE(CompareToOracle(got, want, ToleranceOf(graph))): dtype, extents and every element,
// the failure says how many differ and which most. NaN equals NaN, an infinity itself.
::testing::AssertionResult CompareToOracle(const HostTensor& got, const EvalTensor& want,
                                           Tolerance tolerance);
::testing::AssertionResult CompareToOracle(const EvalTensor& got, const EvalTensor& want,
                                           Tolerance tolerance);

// Two graphs over the same inputs: the same outputs.
::testing::AssertionResult SameOutputs(const Graph& got, const Graph& want, const TensorMap& inputs,
                                       Tolerance tolerance = kSameInDouble);

}  // namespace rlx::test
