// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "runtime/ir/evaluate.h"
#include "runtime/ir/op_info.h"

namespace rlx::test {

// A graph parsed, completed and verified; a test failure and an empty graph where it is not sound.
Graph ParseGraph(std::string_view text);

// The one op of a sample over inputs x0, x1 …, outputs y0, y1 ….
Graph SampleGraph(const OpInfo& info, const OpSample& sample);
// Values for those inputs, in the sample's ranges.
TensorMap SampleInputs(const OpSample& sample, Rng& rng);

// A tensor with elements between low and high (integers inclusive).
HostTensor RandomTensor(const TensorType& type, double low, double high, Rng& rng);

// The graph with node `id` replaced by its row's decomposition.
absl::StatusOr<Graph> Decompose(const Graph& graph, NodeId id);

}  // namespace rlx::test
