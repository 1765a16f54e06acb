// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/pad_to_capacity.h"

#include "runtime/base/status.h"
#include "runtime/ir/verify.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/decompose.h"
#include "runtime/passes/padder.h"
#include "runtime/passes/padding_rules.h"

namespace rlx::passes {
namespace {

// Ops without a rule that meet a symbolic extent: their parts may have rules.
bool WantsParts(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  return !IsLeaf(node.op) && PaddingRuleFor(node.op) == nullptr && !IsStatic(graph, node);
}

// A symbol whose capacity is its least size is not padded at all.
DimBinding Exact(const Graph& graph, const DimBinding& capacity) {
  DimBinding exact;
  for (const auto& [symbol, size] : capacity) {
    const auto range = graph.symbols.find(symbol);
    if (size == (range == graph.symbols.end() ? SymbolRange{} : range->second).min) {
      exact[symbol] = size;
    }
  }
  return exact;
}

// The same in bodies of control flow, which are padded as the graph around them is.
absl::Status TakeApart(Graph& graph, PassContext& context) {
  RLX_TRY(DecomposeWhere(graph, context, WantsParts, "has no rule for padded extents"));
  for (NodeId id = 0; id < graph.size(); ++id) {
    Node& node = graph.node(id);
    if (Info(node.op).op_class != OpClass::kControlFlow || IsStatic(graph, node)) continue;
    for (auto& nested : node.subgraphs) {
      Graph body = *nested;
      RLX_TRY(TakeApart(body, context));
      nested = std::make_shared<const Graph>(std::move(body));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PaddedGraph> PadToCapacity(const Graph& symbolic, const DimBinding& capacity) {
  RLX_ASSIGN(Graph apart, BindSymbols(symbolic, Exact(symbolic, capacity)));
  PassContext context;
  RLX_TRY(TakeApart(apart, context));
  RLX_ASSIGN(const Graph bound, BindSymbols(apart, capacity));
  RLX_ASSIGN(PaddedGraph padded, Padder(apart, bound).Run());
  padded.graph.aliases = symbolic.aliases;
  return padded;
}

}  // namespace rlx::passes
