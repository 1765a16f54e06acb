// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/ir/evaluate.h"
#include "runtime/passes/pad_to_capacity.h"

namespace rlx::test {

// `tensor` in the first places of one of `dims`; around it NaN, or integers and booleans that mean
// nothing.
HostTensor PadWithGarbage(const HostTensor& tensor, const std::vector<int64_t>& dims);
// The first places of `tensor`.
EvalTensor FirstPlaces(const EvalTensor& tensor, const std::vector<int64_t>& dims);

// The inputs of a padded graph: those of the symbolic graph at true sizes, padded with garbage, and
// the extents.
TensorMap PaddedInputs(const passes::PaddedGraph& padded, const TensorMap& inputs,
                       const DimBinding& sizes);

}  // namespace rlx::test
