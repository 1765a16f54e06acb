// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/all_nodes.h"

#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"

namespace rlx {
namespace {

bool HoldsBodies(const Node& node) { return Info(node.op).op_class == OpClass::kControlFlow; }

// Verified nesting bounds the recursion, here and below.
void Append(const Graph& graph, int64_t holder, std::vector<PlacedNode>& all) {
  const auto first = static_cast<int64_t>(all.size());
  for (NodeId id = 0; id < graph.size(); ++id) all.push_back({&graph, id, holder});
  for (NodeId id = 0; id < graph.size(); ++id) {
    if (!HoldsBodies(graph.node(id))) continue;
    for (const auto& body : graph.node(id).subgraphs) Append(*body, first + id, all);
  }
}

using SourcesOf = std::function<std::vector<SourceRef>(int64_t, const Node&)>;

// `next` is the number of the first node that is not numbered yet.
void SetIn(Graph& graph, int64_t& next, const SourcesOf& sources) {
  for (NodeId id = 0; id < graph.size(); ++id) {
    if (!HoldsBodies(graph.node(id))) continue;
    for (auto& body : graph.node(id).subgraphs) {
      Graph copy = *body;
      for (NodeId inner = 0; inner < copy.size(); ++inner) {
        Node& node = copy.node(inner);
        node.sources = sources(next++, node);
      }
      SetIn(copy, next, sources);
      body = std::make_shared<const Graph>(std::move(copy));
    }
  }
}

}  // namespace

std::vector<PlacedNode> AllNodes(const Graph& graph) {
  std::vector<PlacedNode> all;
  all.reserve(static_cast<size_t>(graph.size()));
  Append(graph, -1, all);
  return all;
}

int64_t CountAllNodes(const Graph& graph) {
  int64_t count = graph.size();
  for (const Node& node : graph.nodes()) {
    if (!HoldsBodies(node)) continue;
    for (const auto& body : node.subgraphs) count += CountAllNodes(*body);
  }
  return count;
}

std::string PlaceOf(const std::vector<PlacedNode>& all, int64_t number) {
  const PlacedNode& at = all[static_cast<size_t>(number)];
  if (at.holder < 0) return Cat("%", at.id);
  const Node& holder = all[static_cast<size_t>(at.holder)].node();
  return Cat(PlaceOf(all, at.holder), " ", Name(holder.op), ": %", at.id);
}

void SetBodySources(Graph& graph, const SourcesOf& sources) {
  int64_t next = graph.size();
  SetIn(graph, next, sources);
}

}  // namespace rlx
