// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "runtime/ir/graph.h"

namespace rlx::lower {

// How a value lies in the memory of a root value: element offset and strides.
struct View {
  Value root;
  int64_t offset = 0;
  std::vector<int64_t> strides;
  bool dense = true;  // strides are row-major for the value's extents
};

// The view that a movement node (reshape, transpose, narrow, expand, same-dtype cast) makes of its
// operand, which itself lies as `of` says; none for other nodes, and for a reshape that its
// operand's strides do not allow. Static types only.
std::optional<View> ViewOf(const Graph& graph, const Node& node, const View& of);

// Strides for `to` extents that address the same elements in the same order as (from, strides);
// none when that needs a copy.
std::optional<std::vector<int64_t>> ReshapeStrides(const std::vector<int64_t>& from,
                                                   const std::vector<int64_t>& strides,
                                                   const std::vector<int64_t>& to);

}  // namespace rlx::lower
