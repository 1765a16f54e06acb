// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/verify.h"

namespace rlx {
namespace {

absl::Status CheckRanges(const SymbolTable& symbols, const DimBinding& binding) {
  for (const auto& [name, value] : binding) {
    const auto found = symbols.find(name);
    const SymbolRange range = found == symbols.end() ? SymbolRange{} : found->second;
    if (value < range.min || value > range.max)
      return InvalidArgument(name, " = ", value, " is outside [", range.min, ", ", range.max, "]");
  }
  return absl::OkStatus();
}

void BindAttrs(Node& node, const DimBinding& binding) {
  for (Attr& attr : node.attrs)
    if (auto* shape = std::get_if<Shape>(&attr.value))
      for (Dim& dim : *shape) dim = dim.Bind(binding);
}

absl::StatusOr<Graph> BindGraph(const Graph& graph, const DimBinding& binding);

absl::StatusOr<Node> BindNode(const Graph& bound, const Node& node, const DimBinding& binding,
                              std::vector<DimConstraint>& constraints) {
  Node copy = node;
  BindAttrs(copy, binding);
  for (auto& subgraph : copy.subgraphs) {
    RLX_ASSIGN(Graph inner, BindGraph(*subgraph, binding));
    constraints.insert(constraints.end(), inner.constraints.begin(), inner.constraints.end());
    subgraph = std::make_shared<const Graph>(std::move(inner));
  }
  if (Info(copy.op).infer == nullptr) {
    for (TensorType& type : copy.results) type = type.Bind(binding);
  } else {
    copy.results.clear();
  }
  RLX_TRY(CompleteAndInfer(bound, copy, constraints));
  return copy;
}

// Nesting is bounded by Limits, and so is the recursion.
absl::StatusOr<Graph> BindGraph(const Graph& graph, const DimBinding& binding) {
  Graph bound;
  bound.name = graph.name;
  bound.symbols = graph.symbols;
  std::erase_if(bound.symbols, [&](const auto& symbol) { return binding.contains(symbol.first); });
  bound.aliases = graph.aliases;
  std::vector<DimConstraint> constraints = graph.constraints;
  for (NodeId id = 0; id < graph.size(); ++id) {
    auto node = BindNode(bound, graph.node(id), binding, constraints);
    if (!node.ok()) return Annotate(node.status(), NodeLabel(graph, id));
    bound.Add(*std::move(node));
  }
  for (const Output& output : graph.outputs()) bound.AddOutput(output.name, output.value);
  for (const auto& [a, b] : constraints) {
    const DimConstraint both = {a.Bind(binding), b.Bind(binding)};
    if (!both.a.is_static() || !both.b.is_static())
      bound.AddConstraints({both});
    else
      RLX_TRY(CheckConstraints({{a, b}}, binding));
  }
  return bound;
}

}  // namespace

absl::Status CheckSizes(const Graph& graph, const DimBinding& sizes) {
  RLX_TRY(CheckRanges(graph.symbols, sizes));
  return CheckConstraints(graph.constraints, sizes);
}

absl::StatusOr<Graph> BindSymbols(const Graph& graph, const DimBinding& binding) {
  RLX_TRY(CheckRanges(graph.symbols, binding));
  return BindGraph(graph, binding);
}

}  // namespace rlx
