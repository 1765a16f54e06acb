// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/epilogue.h"

#include <algorithm>

#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/remarks.h"

namespace rlx::passes {
namespace {

Value Bound(const Match& match, std::string_view capture) {
  const auto it = std::ranges::find(match.bound, capture, [](const auto& b) { return b.first; });
  return it == match.bound.end() ? Value() : it->second;
}

}  // namespace

const std::vector<OpKind>& EpilogueActivations() {
  static const std::vector<OpKind> kinds = {OpKind::kGelu, OpKind::kGeluTanh, OpKind::kSilu,
                                            OpKind::kRelu, OpKind::kTanh,     OpKind::kSigmoid};
  return kinds;
}

bool IsEpilogueActivation(OpKind op) { return std::ranges::count(EpilogueActivations(), op) > 0; }

EpilogueFusion::EpilogueFusion(Graph& graph, PassContext& context, const EpilogueTaker& taker)
    : graph_(graph),
      context_(context),
      taker_(taker),
      rewriter_(graph, context),
      matcher_(rewriter_),
      fixed_(WeightOnly(graph)) {}

Epilogue EpilogueFusion::EpilogueOf(const Match& match, std::string_view written) const {
  const Value activation = Bound(match, "activation");
  return {.activation = activation.valid() ? Name(graph_.node(activation.node).op) : written,
          .residual = Bound(match, "residual")};
}

bool EpilogueFusion::Try(NodeId root, const Pattern& pattern, std::string_view written,
                         const Guard& guard) {
  const std::optional<Match> match =
      matcher_.Find(root, pattern, [&](const Match& m) -> std::optional<Refusal> {
        if (guard) {
          if (const std::optional<Refusal> refusal = guard(m)) return refusal;
        }
        return Check(m, written);
      });
  if (!match) return false;
  const NodeId base = match->at("base").node;
  std::vector<NodeId> nodes = match->interior;
  if (std::ranges::count(nodes, base) == 0) nodes.push_back(base);
  if (rewriter_.AnyTaken(nodes)) return false;
  const Epilogue epilogue = EpilogueOf(*match, written);
  Report(nodes, base, epilogue);
  const Node node = graph_.node(base);  // a copy: the graph grows
  rewriter_.Replace({root, 0}, taker_.emit(rewriter_.For(nodes), node, epilogue));
  return true;
}

std::optional<Refusal> EpilogueFusion::Check(const Match& match, std::string_view written) const {
  const Value base = match.at("base");
  const Epilogue epilogue = EpilogueOf(match, written);
  // One that an activation written out reads twice is shared, as patterns go.
  const bool twice = std::ranges::count(match.interior, base.node) == 0;
  if (twice && (rewriter_.uses().Count(base) != 2 || rewriter_.uses().IsOutput(base))) {
    return Refusal{Reason::kOtherOp, "has other readers"};
  }
  // What is computed once, when weights are bound, stays out of what runs every time.
  if (fixed_[base.node]) return Refusal{Reason::kOtherOp, "follows a weight"};
  if (epilogue.residual.valid() && graph_.type(epilogue.residual) != graph_.type(base)) {
    return Refusal{Reason::kOtherOp, "adds another shape"};
  }
  return taker_.refusal(graph_, base, epilogue);
}

// `nodes`: the root first.
void EpilogueFusion::Report(const std::vector<NodeId>& nodes, NodeId base,
                            const Epilogue& epilogue) {
  std::vector<Value> intermediates;
  for (size_t i = 1; i < nodes.size(); ++i) intermediates.push_back({nodes[i], 0});
  std::vector<std::string_view> taken;
  if (epilogue.acts()) taken.push_back(epilogue.activation);
  if (epilogue.residual.valid()) taken.push_back("the residual sum");
  Applied(context_, taker_.rule, graph_, nodes,
          Cat(Label(graph_, base), " takes ", Join(taken, " and ")),
          {.launches = static_cast<int64_t>(intermediates.size()),
           .bytes = RoundTripBytes(graph_, intermediates)});
}

}  // namespace rlx::passes
