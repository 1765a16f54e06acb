// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/canonical.h"

#include <algorithm>
#include <numeric>

#include "runtime/base/text.h"
#include "runtime/engine/digest_graph.h"
#include "runtime/ir/all_nodes.h"
#include "runtime/ir/op_info.h"

namespace rlx::engine {
namespace {

bool InSignature(const Node& node) {
  return node.op == OpKind::kInput || node.op == OpKind::kParam;
}

// Node ids of a verified graph in canonical order. Depth first with its own stack.
class Order {
 public:
  explicit Order(const Graph& graph) : graph_(graph), seen_(graph.size()) {}

  void Visit(NodeId root) {
    Push(root);
    while (!stack_.empty()) {
      auto& [id, next] = stack_.back();
      const std::vector<Value>& operands = graph_.node(id).operands;
      if (next == operands.size()) {
        ids.push_back(id);
        stack_.pop_back();
      } else {
        Push(operands[next++].node);
      }
    }
  }

  std::vector<NodeId> ids;

 private:
  void Push(NodeId id) {
    if (seen_[id]) return;
    seen_[id] = true;
    stack_.push_back({id, 0});
  }

  const Graph& graph_;
  std::vector<bool> seen_;
  std::vector<std::pair<NodeId, size_t>> stack_;  // node, next operand
};

std::vector<NodeId> CanonicalOrder(const Graph& graph, bool drop_dead) {
  Order order(graph);
  for (NodeId id : graph.inputs()) order.Visit(id);
  for (NodeId id : graph.params()) order.Visit(id);
  for (const Output& output : graph.outputs()) order.Visit(output.value.node);
  for (NodeId id = 0; !drop_dead && id < graph.size(); ++id) order.Visit(id);
  // An alias promises that its input is read before its output is made: then the author's order of
  // nodes means something, and stays.
  if (!graph.aliases.empty()) {
    std::stable_sort(order.ids.begin(), order.ids.end(), [&](NodeId a, NodeId b) {
      const bool a_first = InSignature(graph.node(a)), b_first = InSignature(graph.node(b));
      return a_first != b_first ? a_first : !a_first && a < b;
    });
  }
  return std::move(order.ids);
}

// A plan speaks of the nodes as they are numbered.
std::vector<NodeId> AuthoredOrder(const Graph& graph) {
  std::vector<NodeId> ids(graph.size());
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

// `graph` with its nodes in `order`; everything that is not a node comes along.
Graph Reordered(const Graph& graph, const std::vector<NodeId>& order) {
  std::vector<NodeId> renumbered(graph.size(), -1);
  Graph out;
  out.symbols = graph.symbols;
  out.aliases = graph.aliases;
  out.Reserve(static_cast<int>(order.size()));
  for (NodeId id : order) {
    Node node = graph.node(id);
    for (Value& operand : node.operands) operand.node = renumbered[operand.node];
    renumbered[id] = out.Add(std::move(node));
  }
  for (const Output& output : graph.outputs()) {
    out.AddOutput(output.name, {renumbered[output.value.node], output.value.result});
  }
  return out;
}

// Inference finds constraints in the order of the nodes, some of them both ways round.
std::vector<DimConstraint> Sorted(const std::vector<DimConstraint>& constraints) {
  std::map<std::pair<std::string, std::string>, DimConstraint> sorted;
  for (const auto& [a, b] : constraints) {
    std::string left = a.ToString(), right = b.ToString();
    const bool swap = right < left;
    auto key = std::pair(std::move(left), std::move(right));
    if (swap) std::swap(key.first, key.second);
    sorted.emplace(std::move(key), swap ? DimConstraint{b, a} : DimConstraint{a, b});
  }
  std::vector<DimConstraint> out;
  for (auto& [text, constraint] : sorted) out.push_back(std::move(constraint));
  return out;
}

// Strips nested graphs, each once however many nodes share it. Verified nesting bounds the
// recursion.
class Stripper {
 public:
  void StripSubgraphs(Node& node) {
    for (auto& subgraph : node.subgraphs) subgraph = Stripped(subgraph);
  }

  // The author's graph that became a stripped one, and his number of each of its nodes.
  struct Origin {
    const Graph* graph = nullptr;
    std::vector<NodeId> order;
  };
  const Origin& OriginOf(const Graph* stripped) const { return origins_.at(stripped); }

 private:
  std::shared_ptr<const Graph> Stripped(const std::shared_ptr<const Graph>& graph) {
    auto [place, added] = done_.emplace(graph.get(), nullptr);
    if (!added) return place->second;
    std::vector<NodeId> order = CanonicalOrder(*graph, /*drop_dead=*/false);
    Graph out = Reordered(*graph, order);
    for (NodeId id = 0; id < out.size(); ++id) {
      Node& node = out.node(id);
      node.sources.clear();
      if (!InSignature(node)) node.name.clear();
      StripSubgraphs(node);
    }
    out.constraints = Sorted(graph->constraints);
    auto stripped = std::make_shared<const Graph>(std::move(out));
    done_[graph.get()] = stripped;
    origins_[stripped.get()] = {graph.get(), std::move(order)};
    return stripped;
  }

  std::map<const Graph*, std::shared_ptr<const Graph>> done_;
  std::map<const Graph*, Origin> origins_;
};

SourceRef::Kind SourceKind(Stage stage) {
  return stage == Stage::kHir ? SourceRef::Kind::kHir : SourceRef::Kind::kMir;
}

// The number of the first node of each graph that holds nodes that run; of a shared one, where it
// is first.
std::map<const Graph*, int64_t> FirstNumbers(const Graph& graph) {
  std::map<const Graph*, int64_t> first;
  const std::vector<PlacedNode> all = AllNodes(graph);
  for (size_t number = 0; number < all.size(); ++number) {
    first.emplace(all[number].graph, static_cast<int64_t>(number));
  }
  return first;
}

// The nodes of bodies, numbered behind those of the main graph, and what their author called them.
void NumberBodies(const Graph& authored, const Stripper& stripper, SourceRef::Kind kind,
                  Graph& graph, SourceTable& names) {
  const std::vector<PlacedNode> all = AllNodes(graph);
  if (all.size() == names.nodes.size()) return;
  const std::map<const Graph*, int64_t> first = FirstNumbers(authored);
  for (size_t number = names.nodes.size(); number < all.size(); ++number) {
    const PlacedNode& at = all[number];
    const SourceTable::Author& holder = names.nodes[static_cast<size_t>(at.holder)];
    const Stripper::Origin& origin = stripper.OriginOf(at.graph);
    SourceTable::Author author;
    author.number = origin.order[static_cast<size_t>(at.id)];
    const Node& node = origin.graph->node(author.number);
    const Node& holds = all[static_cast<size_t>(at.holder)].node();
    author.path = Cat(holder.path, holder.number, " ", Name(holds.op), ": %");
    if (!InSignature(node)) author.name = node.name;
    author.sources = node.sources;
    if (author.sources.empty()) {
      const std::string name = author.name.empty() ? "" : Cat(" \"", author.name, "\"");
      author.sources = {{kind, first.at(origin.graph) + author.number,
                         Cat("%", author.path, author.number, name)}};
    }
    names.nodes.push_back(std::move(author));
  }
  SetBodySources(graph, [&](int64_t number, const Node&) {
    return std::vector<SourceRef>{{kind, number, ""}};
  });
}

}  // namespace

Canonical Canonicalize(const Module& module, bool drop_dead) {
  const SourceRef::Kind kind = SourceKind(module.stage);
  const std::vector<NodeId> order =
      module.plan ? AuthoredOrder(module.graph) : CanonicalOrder(module.graph, drop_dead);
  Canonical out{
      {module.stage, module.policy, Reordered(module.graph, order), module.plan}, nullptr, {}};
  Graph& graph = out.module.graph;
  graph.constraints = Sorted(module.graph.constraints);
  auto names = std::make_shared<SourceTable>();
  names->module_name = module.graph.name;
  names->nodes.resize(order.size());
  Stripper stripper;
  for (NodeId id = 0; id < graph.size(); ++id) {
    Node& node = graph.node(id);
    SourceTable::Author& author = names->nodes[id];
    author.number = order[id];
    author.name = module.stage == Stage::kHir ? HirLabel(node) : node.name;
    author.sources = std::move(node.sources);
    if (author.sources.empty()) author.sources = {{kind, order[id], author.name}};
    node.sources = {{kind, id, ""}};
    if (!InSignature(node)) node.name.clear();
    stripper.StripSubgraphs(node);
  }
  NumberBodies(module.graph, stripper, kind, graph, *names);
  out.names = std::move(names);
  out.digest = DigestModule(out.module);
  return out;
}

}  // namespace rlx::engine
