// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/decompose.h"

#include <algorithm>

#include "runtime/base/status.h"
#include "runtime/ir/capacity.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/verify.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

namespace rlx::passes {
namespace {

// A row's decomposition is one level deep; rows that need each other would never end.
constexpr int kMaxRounds = 16;

// Whether the verifier would refuse a result for its size.
bool TooLarge(const Node& node, const SymbolTable& capacity) {
  return std::ranges::any_of(node.results, [&](const TensorType& type) {
    const std::optional<int64_t> bytes = CapacityBytes(type, capacity);
    return !bytes || *bytes > Limits{}.max_tensor_bytes;
  });
}

// Replaces the node unless it cannot be taken apart with these operands (a symbolic extent, say, or
// parts beyond all limits): then it stays, and the dispatch report calls it unsupported.
bool Decompose(Graph& graph, Rewriter& rewriter, NodeId id, Parts parts_of) {
  const Node node = graph.node(id);
  const NodeId first_made = graph.size();
  GraphBuilder b(graph);
  b.SetSources(node.sources);
  const absl::StatusOr<std::vector<Value>> parts = parts_of(b, node);
  if (!parts.ok() || !b.status().ok() || parts->size() != node.results.size()) return false;
  for (size_t r = 0; r < parts->size(); ++r) {
    if (graph.type((*parts)[r]) != node.results[r]) return false;
  }
  const SymbolTable capacity = CapacityRanges(graph.symbols);
  for (NodeId made = first_made; made < graph.size(); ++made) {
    Node& part = graph.node(made);
    if (TooLarge(part, capacity)) return false;
    if (part.sources.empty()) part.sources = node.sources;
  }
  rewriter.Take({id});
  for (size_t r = 0; r < parts->size(); ++r) {
    rewriter.Replace({id, static_cast<int32_t>(r)}, (*parts)[r]);
  }
  return true;
}

}  // namespace

bool TakenApart(const PassContext& context, OpKind op) {
  const std::string claim(Info(op).claim);
  if (context.native.count(claim) > 0) return false;
  if (context.common.count(claim) > 0) return true;
  return !context.keep_unclaimed && !context.Accepts(claim);
}

absl::Status DecomposeBy(Graph& graph, PassContext& context,
                         const std::function<Parts(const Graph&, NodeId)>& parts_of,
                         const std::function<std::string_view(OpKind)>& why) {
  bool changed = false;
  for (int round = 0; round < kMaxRounds; ++round) {
    Rewriter rewriter(graph, context);
    context.changed = false;
    for (NodeId id = 0; id < rewriter.size(); ++id) {
      const Parts parts = parts_of(graph, id);
      if (parts == nullptr) continue;
      const std::string label = Label(graph, id);
      const OpKind op = graph.node(id).op;
      if (Decompose(graph, rewriter, id, parts)) {
        Applied(context, kDecomposeRule, graph, {id}, Cat(label, " ", why(op)));
      }
    }
    RLX_TRY(rewriter.Finish());
    if (!context.changed) break;
    changed = true;
  }
  context.changed = changed;
  return absl::OkStatus();
}

absl::Status DecomposeWhere(Graph& graph, PassContext& context,
                            const std::function<bool(const Graph&, NodeId)>& wanted,
                            std::string_view why) {
  return DecomposeBy(
      graph, context,
      [&](const Graph& g, NodeId id) -> Parts {
        const Parts parts = Info(g.node(id).op).decompose;
        return parts != nullptr && wanted(g, id) ? parts : nullptr;
      },
      [&](OpKind) { return why; });
}

absl::Status FoldParts(Graph& graph, PassContext& context) {
  if (!context.changed || !context.constant_folding) return absl::OkStatus();
  RLX_TRY(ConstantFolding(graph, context));
  context.changed = true;
  return absl::OkStatus();
}

}  // namespace rlx::passes
