// SPDX-License-Identifier: Apache-2.0
#include <unordered_map>

#include "runtime/base/status.h"
#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

// Equal nodes over weights and constants become one, so that a weight is transposed or packed once.
// What depends on inputs is left alone: computing it twice is the author's way to let both copies
// fuse.
namespace rlx::passes {
namespace {

constexpr Rule kRule("common_subexpression");

void Mix(size_t& hash, size_t value) { hash = hash * 1099511628211u + value; }

// Of the attributes that tell nodes of one op apart in practice; others hash alike.
size_t HashOf(const AttrValue& value) {
  size_t hash = value.index();
  if (const auto* i = std::get_if<int64_t>(&value)) Mix(hash, static_cast<size_t>(*i));
  if (const auto* f = std::get_if<double>(&value)) Mix(hash, std::hash<double>()(*f));
  if (const auto* ints = std::get_if<std::vector<int64_t>>(&value)) {
    for (int64_t i : *ints) Mix(hash, static_cast<size_t>(i));
  }
  if (const auto* shape = std::get_if<Shape>(&value)) {
    for (const Dim& dim : *shape) Mix(hash, dim.is_static() ? static_cast<size_t>(dim.value()) : 1);
  }
  if (const auto* tensor = std::get_if<HostTensor>(&value)) {
    Mix(hash, std::hash<std::string_view>()(tensor->bytes().view()));
    Mix(hash, static_cast<size_t>(tensor->dtype()));
  }
  return hash;
}

class Numbering {
 public:
  Numbering(Graph& graph, PassContext& context)
      : graph_(graph), context_(context), rewriter_(graph, context), same_as_(graph.size()) {}

  absl::Status Run() {
    const std::vector<bool> fixed = WeightOnly(graph_);
    for (NodeId id = 0; id < rewriter_.size(); ++id) {
      RLX_TRY(context_.cancel.Check());  // nodes that hash alike are compared one by one
      same_as_[id] = id;
      if (!fixed[id] || graph_.node(id).op == OpKind::kParam) continue;
      same_as_[id] = FindEqual(id);
      if (same_as_[id] != id) Join(id, same_as_[id]);
    }
    return rewriter_.Finish();
  }

 private:
  Value Canonical(Value v) const { return {same_as_[v.node], v.result}; }

  // Attributes count too: a weight may be cut into thousands of slices.
  size_t Hash(const Node& node) const {
    size_t hash = static_cast<size_t>(node.op);
    for (Value v : node.operands) {
      Mix(hash, static_cast<size_t>(Canonical(v).node));
      Mix(hash, static_cast<size_t>(v.result));
    }
    for (const Attr& attr : node.attrs) Mix(hash, HashOf(attr.value));
    return hash;
  }

  bool Equal(const Node& a, const Node& b) const {
    if (a.op != b.op || a.operands.size() != b.operands.size() || a.attrs != b.attrs) return false;
    for (size_t i = 0; i < a.operands.size(); ++i) {
      if (Canonical(a.operands[i]) != Canonical(b.operands[i])) return false;
    }
    return a.subgraphs == b.subgraphs && a.results == b.results;
  }

  // The first node equal to `id`, or `id` itself.
  NodeId FindEqual(NodeId id) {
    const Node& node = graph_.node(id);
    const size_t hash = Hash(node);
    const auto [first, last] = seen_.equal_range(hash);
    for (auto it = first; it != last; ++it) {
      if (Equal(graph_.node(it->second), node)) return it->second;
    }
    seen_.emplace(hash, id);
    return id;
  }

  void Join(NodeId id, NodeId kept) {
    rewriter_.Take({id});
    for (int32_t r = 0; r < static_cast<int32_t>(graph_.node(id).results.size()); ++r) {
      rewriter_.Replace({id, r}, {kept, r});
    }
    if (graph_.node(id).op != OpKind::kConstant) {
      Applied(context_, kRule, graph_, {kept, id},
              Cat(Label(graph_, id), " equals ", Label(graph_, kept)));
    }
    graph_.node(kept).sources = MergedSources(graph_, {kept, id});
  }

  Graph& graph_;
  PassContext& context_;
  Rewriter rewriter_;
  std::vector<NodeId> same_as_;
  std::unordered_multimap<size_t, NodeId> seen_;
};

}  // namespace

absl::Status CommonSubexpressionElimination(Graph& graph, PassContext& context) {
  return Numbering(graph, context).Run();
}

extern const Pass kCommonSubexpressionEliminationPass = {
    .name = "common_subexpression_elimination",
    .run = CommonSubexpressionElimination,
    .needs = {OpKind::kConstant, OpKind::kParam, OpKind::kCustom},
    .after = "constant_folding",
    .why = "After folding made equal constants; one weight expression then has one reader per use",
};

}  // namespace rlx::passes
