// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/ir/graph.h"

// What several passes ask of a graph.
namespace rlx::passes {

// Whether each element of the results depends on the elements of the operands that broadcasting
// puts at its place: what regions are made of.
bool IsPointwise(OpKind op);

// Whether the node's operands and results, and all values of its nested graphs, have constant
// extents: only then can a back end be asked about it.
bool IsStatic(const Graph& graph, const Node& node);

// Bytes of a value with every symbol at its capacity; none when one has none, or for an overflow.
std::optional<int64_t> CapacityBytes(const Graph& graph, const TensorType& type);

// How remarks name a node: `%3 (silu)` by its number in the author's module (`hir 3 (matmul)` for
// one that came from a block), or its own number when it carries no source.
std::string Label(const Graph& graph, NodeId id);

// The sources of all `nodes`, sorted, each once.
std::vector<SourceRef> MergedSources(const Graph& graph, const std::vector<NodeId>& nodes);

}  // namespace rlx::passes
