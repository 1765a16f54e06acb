// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/lower_hir.h"

#include "runtime/base/status.h"
#include "runtime/base/text.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/verify.h"

namespace rlx {
namespace {

using Subgraphs = std::vector<std::shared_ptr<const Graph>>;

using Sources = std::vector<SourceRef>;
using Results = absl::StatusOr<std::vector<Value>>;

// What the author's node came from itself stays: an imported block names the import too.
Sources SourcesOf(const Node& node, NodeId id) {
  Sources sources = node.sources;
  std::erase_if(sources, [](const SourceRef& s) { return s.kind == SourceRef::Kind::kHir; });
  sources.insert(sources.begin(),
                 {.kind = SourceRef::Kind::kHir, .id = id, .name = HirLabel(node)});
  return sources;
}

absl::StatusOr<Graph> LowerGraph(const Graph& from, FusionPolicy policy, const Sources* owner);

absl::StatusOr<Subgraphs> LowerSubgraphs(const Node& node, FusionPolicy policy) {
  Subgraphs lowered;
  for (const auto& subgraph : node.subgraphs) {
    RLX_ASSIGN(Graph graph, LowerGraph(*subgraph, policy, &node.sources));
    lowered.push_back(std::make_shared<const Graph>(std::move(graph)));
  }
  return lowered;
}

// Appends the lowering of `from` to the builder's graph and returns its outputs there. `owner` are
// the sources of the node that a nested graph belongs to, for nodes that say nothing themselves:
// their numbers mean nothing outside. `arguments` stand for the inputs of a graph that is inlined.
// Nesting is bounded by Limits, and so is the recursion.
Results LowerInto(GraphBuilder& b, const Graph& from, const Sources* owner,
                  const std::vector<Value>* arguments);

// What `node`, whose operands already refer to the new graph, becomes there.
Results LowerNode(GraphBuilder& b, Node node) {
  const OpInfo& info = Info(node.op);
  if (info.op_class == OpClass::kLeaf) return std::vector<Value>{{b.graph().Add(std::move(node))}};
  if (node.op == OpKind::kCustom) {
    return LowerInto(b, *node.subgraphs[0], &node.sources, &node.operands);
  }
  b.SetSources(node.sources);
  if (info.level == Stage::kHir) return info.decompose(b, node);
  RLX_ASSIGN(node.subgraphs, LowerSubgraphs(node, b.policy()));
  std::vector<Value> results = b.Clone(node, node.operands);
  RLX_TRY(b.status());
  return results;
}

Results LowerInto(GraphBuilder& b, const Graph& from, const Sources* owner,
                  const std::vector<Value>* arguments) {
  std::vector<std::vector<Value>> map(from.size());
  size_t next_argument = 0;
  for (NodeId id = 0; id < from.size(); ++id) {
    Node node = from.node(id);
    if (arguments != nullptr && node.op == OpKind::kInput) {
      map[id] = {(*arguments)[next_argument++]};
      continue;
    }
    if (owner == nullptr) {
      node.sources = SourcesOf(node, id);
    } else if (node.sources.empty() || arguments != nullptr) {
      node.sources = *owner;
    }
    for (Value& operand : node.operands) operand = map[operand.node][operand.result];
    Results results = LowerNode(b, std::move(node));
    if (!results.ok()) return Annotate(results.status(), "lowering ", NodeLabel(from, id));
    map[id] = *std::move(results);
  }
  std::vector<Value> outputs;
  for (const Output& output : from.outputs()) {
    outputs.push_back(map[output.value.node][output.value.result]);
  }
  return outputs;
}

absl::StatusOr<Graph> LowerGraph(const Graph& from, FusionPolicy policy, const Sources* owner) {
  Graph to;
  to.name = from.name;
  to.symbols = from.symbols;
  to.aliases = from.aliases;
  to.constraints = from.constraints;
  GraphBuilder b(to, policy);
  RLX_ASSIGN(const std::vector<Value> outputs, LowerInto(b, from, owner, nullptr));
  for (size_t i = 0; i < outputs.size(); ++i) to.AddOutput(from.outputs()[i].name, outputs[i]);
  return to;
}

}  // namespace

std::string HirLabel(const Node& node) {
  if (!node.name.empty()) return node.name;
  const OpInfo& info = Info(node.op);
  if (info.label != nullptr) return info.label(node);
  if (IsLeaf(node.op)) return std::string(info.name);
  if (info.level != Stage::kHir) return Cat("mir(", info.name, ")");
  const std::string_view prefix = "hir.";
  return std::string(info.name.substr(info.name.starts_with(prefix) ? prefix.size() : 0));
}

absl::StatusOr<Graph> LowerHir(const Module& module) {
  if (module.stage != Stage::kHir) return InvalidArgument("the module is not at the hir stage");
  return LowerGraph(module.graph, module.policy, nullptr);
}

}  // namespace rlx
