// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/analysis.h"

#include <algorithm>

#include "runtime/base/checked.h"
#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"

namespace rlx::passes {
namespace {

std::string_view Prefix(SourceRef::Kind kind) {
  switch (kind) {
    case SourceRef::Kind::kHir:
      return "hir ";
    case SourceRef::Kind::kOnnx:
      return "onnx ";
    case SourceRef::Kind::kMir:
      break;
  }
  return "%";
}

bool HasCapacity(const Dim& dim, const SymbolTable& symbols) {
  std::vector<std::string> names;
  dim.CollectSymbols(names);
  return std::ranges::all_of(names, [&](const std::string& name) {
    const auto it = symbols.find(name);
    return it != symbols.end() && it->second.max < SymbolRange{}.max;
  });
}

}  // namespace

bool IsPointwise(OpKind op) { return IsElementwise(op) && op != OpKind::kElementwiseRegion; }

bool IsStatic(const Graph& graph, const Node& node) {
  const auto is_static = [](const TensorType& type) { return type.is_static(); };
  const auto makes_static = [&](const Node& inner) {
    return std::ranges::all_of(inner.results, is_static);
  };
  return makes_static(node) &&
         std::ranges::all_of(node.operands, [&](Value v) { return graph.type(v).is_static(); }) &&
         std::ranges::all_of(node.subgraphs, [&](const auto& nested) {
           return std::ranges::all_of(nested->nodes(), [&](const Node& inner) {
             return makes_static(inner) && (inner.subgraphs.empty() || IsStatic(*nested, inner));
           });
         });
}

std::optional<int64_t> CapacityBytes(const Graph& graph, const TensorType& type) {
  std::optional<int64_t> bytes = ByteWidth(type.dtype);
  for (const Dim& dim : type.shape) {
    if (!HasCapacity(dim, graph.symbols)) return std::nullopt;
    if (bytes) bytes = CheckedMul(*bytes, dim.UpperBound(graph.symbols));
  }
  return bytes;
}

std::string Label(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const std::string op = Cat(" (", Name(node.op), ")");
  if (node.sources.empty()) return Cat("%", id, op);
  return Cat(Prefix(node.sources.front().kind), node.sources.front().id, op);
}

std::vector<SourceRef> MergedSources(const Graph& graph, const std::vector<NodeId>& nodes) {
  // Rewrites keep the author's order, so in that of the nodes there is next to nothing to sort.
  std::vector<NodeId> in_order = nodes;
  if (!std::ranges::is_sorted(in_order)) std::ranges::sort(in_order);
  std::vector<SourceRef> merged;
  merged.reserve(in_order.size());
  for (NodeId id : in_order) {
    const std::vector<SourceRef>& sources = graph.node(id).sources;
    merged.insert(merged.end(), sources.begin(), sources.end());
  }
  if (!std::ranges::is_sorted(merged)) std::ranges::sort(merged);
  merged.erase(std::unique(merged.begin(), merged.end()), merged.end());
  return merged;
}

}  // namespace rlx::passes
