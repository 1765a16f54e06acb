// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runtime/ir/graph.h"

namespace rlx {

// A node of a graph, or of a body of control flow in it, however deep: all that runs. What `custom`
// nodes and regions hold is theirs.
struct PlacedNode {
  const Graph* graph = nullptr;
  NodeId id = 0;        // in that graph
  int64_t holder = -1;  // number of the control flow that holds the graph; -1: it is the main one
  const Node& node() const { return graph->node(id); }
};

// A node's number is its position: those of the main graph come first and are their ids, then body
// by body. Valid while the graph stays as it is.
std::vector<PlacedNode> AllNodes(const Graph& graph);
int64_t CountAllNodes(const Graph& graph);

// `%4 scan: %2`: where people find a node.
std::string PlaceOf(const std::vector<PlacedNode>& all, int64_t number);

// Gives each node of a body the sources that `sources(number, node)` says.
void SetBodySources(
    Graph& graph,
    const std::function<std::vector<SourceRef>(int64_t number, const Node& node)>& sources);

}  // namespace rlx
