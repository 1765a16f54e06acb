// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "runtime/ir/graph.h"

namespace rlx::passes {

// What a calibration found for a value: the codes that are to stand for it, real = (code - zero
// point)·scale, with one scale and zero point or with one for each index of `axis`.
struct Tap {
  Value value;
  DType code = DType::kI8;  // or u8
  std::optional<int64_t> axis;
  std::vector<double> scales;
  std::vector<int64_t> zero_points;
};

// Every reader and output of a tapped value gets what its codes say instead, so that fuse_qdq finds
// products between codes; names and types of the signature stay. InvalidArgument naming the value,
// and the graph as it was, for one that is not there, is tapped twice, is no float, or has numbers
// that do not fit it. Nested graphs are not looked into. O(graph).
absl::Status InsertQDq(Graph& graph, const std::vector<Tap>& record);

}  // namespace rlx::passes
