// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/ir/op_info.h"

namespace rlx {

// How far a computed tensor may be from the double oracle (evaluate.h):
//
//   |got - want| ≤ relative · |want| + scale · max |want| over the tensor
//
// The second part is for sums, whose error follows the size of their terms and not of the result.
// Bool and integer results are exact.
struct Tolerance {
  double relative = 0;
  double scale = 0;
};

// Of one op of this class that computes in `dtype`, from operands as the oracle has them.
Tolerance ToleranceOf(OpClass op_class, DType dtype);

// Of a whole graph: the sum over the longest chain of nodes, each by its class and its
// widest-erring dtype. Assumes ops that do not amplify (inputs around 1, no long chains of exp or
// division).
Tolerance ToleranceOf(const Graph& graph);

}  // namespace rlx
