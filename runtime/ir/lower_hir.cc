// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/lower_hir.h"

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/verify.h"

namespace rlx {
namespace {

using Subgraphs = std::vector<std::shared_ptr<const Graph>>;

absl::StatusOr<Graph> LowerGraph(const Graph& from, FusionPolicy policy);

absl::StatusOr<Subgraphs> LowerSubgraphs(const Node& node, FusionPolicy policy) {
  Subgraphs lowered;
  for (const auto& subgraph : node.subgraphs) {
    RLX_ASSIGN(Graph graph, LowerGraph(*subgraph, policy));
    lowered.push_back(std::make_shared<const Graph>(std::move(graph)));
  }
  return lowered;
}

std::vector<SourceRef> SourcesOf(const Node& node, NodeId id) {
  std::string name(node.name.empty() ? Name(node.op) : std::string_view(node.name));
  return {{.kind = SourceRef::Kind::kHir, .id = id, .name = std::move(name)}};
}

// What `node`, whose operands already refer to the new graph, becomes there.
absl::StatusOr<std::vector<Value>> LowerNode(GraphBuilder& b, Node node) {
  const OpInfo& info = Info(node.op);
  if (info.op_class == OpClass::kLeaf) return std::vector<Value>{{b.graph().Add(std::move(node))}};
  if (info.level == Stage::kHir) return info.decompose(b, node);
  RLX_ASSIGN(node.subgraphs, LowerSubgraphs(node, b.policy()));
  std::vector<Value> results = b.Clone(node, node.operands);
  RLX_TRY(b.status());
  return results;
}

absl::StatusOr<Graph> LowerGraph(const Graph& from, FusionPolicy policy) {
  Graph to;
  to.name = from.name;
  to.symbols = from.symbols;
  to.aliases = from.aliases;
  to.constraints = from.constraints;
  GraphBuilder b(to, policy);
  std::vector<std::vector<Value>> map(from.size());
  auto mapped = [&](Value v) { return map[v.node][v.result]; };
  for (NodeId id = 0; id < from.size(); ++id) {
    Node node = from.node(id);
    node.sources = SourcesOf(node, id);
    b.SetSources(node.sources);
    for (Value& operand : node.operands) operand = mapped(operand);
    absl::StatusOr<std::vector<Value>> results = LowerNode(b, std::move(node));
    if (!results.ok()) return Annotate(results.status(), "lowering ", NodeLabel(from, id));
    map[id] = *std::move(results);
  }
  for (const Output& output : from.outputs()) to.AddOutput(output.name, mapped(output.value));
  return to;
}

}  // namespace

absl::StatusOr<Graph> LowerHir(const Module& module) {
  if (module.stage != Stage::kHir) return InvalidArgument("the module is not at the hir stage");
  return LowerGraph(module.graph, module.policy);
}

}  // namespace rlx
