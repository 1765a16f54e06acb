// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include "runtime/ir/evaluate.h"
#include "runtime/ir/tolerance.h"

namespace rlx::test {

// EXPECT_TRUE(CompareToOracle(got, want, ToleranceOf(graph))): dtype, extents and every element,
// the failure says how many differ and which most. NaN equals NaN, an infinity itself.
::testing::AssertionResult CompareToOracle(const HostTensor& got, const EvalTensor& want,
                                           Tolerance tolerance);
::testing::AssertionResult CompareToOracle(const EvalTensor& got, const EvalTensor& want,
                                           Tolerance tolerance);

}  // namespace rlx::test
