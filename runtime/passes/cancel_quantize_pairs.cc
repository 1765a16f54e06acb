// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "runtime/base/text.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/donated.h"
#include "runtime/passes/linear.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/quantized.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

//   q ─ dequantize(s, z) ─ quantize(s, z)   =>   q
//   q ─ dequantize(s, z) ─ [reshape | transpose | narrow | expand | concat | relu] .. ─ quantize(s,
//   z)
//                                           =>   q ─ the same on codes
//
// The codes come back to the last one, so nothing changes but what is computed. Between the two,
// one scale alone may stand: a moved axis would take its scales along. relu of codes is max(q, z).
namespace rlx::passes {
namespace {

constexpr Rule kRule("quantize_pair");

// Nodes between the two that a pair may span.
constexpr size_t kMostMoved = 32;

bool Moves(OpKind op) {
  constexpr OpKind kMovers[] = {OpKind::kReshape, OpKind::kTranspose, OpKind::kNarrow,
                                OpKind::kExpand,  OpKind::kConcat,    OpKind::kRelu};
  return std::ranges::find(kMovers, op) != std::end(kMovers);
}

class Cancellation {
 public:
  Cancellation(Graph& graph, PassContext& context)
      : graph_(graph),
        context_(context),
        rewriter_(graph, context),
        donated_(DonatedInputs(graph)) {}

  absl::Status Run() {
    for (NodeId id = 0; id < rewriter_.size(); ++id) {
      if (graph_.node(id).op == OpKind::kQuantize) Try(id);
    }
    return rewriter_.Finish();
  }

 private:
  void Try(NodeId root) {
    const Scaling to = *ReadQuantize(graph_, {root, 0});
    moved_ = {root};
    why_.clear();
    if (!Returns(to.value, to)) {
      if (!why_.empty()) {
        Missed(context_, kRule, Reason::kOtherScaling, graph_, root,
               Cat(Label(graph_, root), " ", why_));
      }
      return;
    }
    if (rewriter_.AnyTaken(moved_)) return;
    if (const std::optional<Leak> leak = FindLeak(graph_, rewriter_.uses(), moved_)) {
      return Missed(context_, kRule, leak->reason, graph_, leak->at, leak->message);
    }
    Cancel(root, to);
  }

  // Whether `value` is codes scaled as in `to`, perhaps moved; notes what moved them.
  bool Returns(Value value, const Scaling& to) {
    if (const std::optional<Scaling> from = ReadDequantize(graph_, value)) {
      if (donated_[from->value.node]) return false;
      const std::string why = WhyNotInverse(*from, to);
      if (!why.empty()) why_ = Cat(why, " than ", Label(graph_, value.node));
      return why.empty();
    }
    const Node& node = graph_.node(value.node);
    if (!Moves(node.op) || moved_.size() > kMostMoved) return false;
    if (std::ranges::find(moved_, value.node) != moved_.end()) return true;
    const auto [low, high] = RangeOf(to.code);
    if (to.axis || to.zeros[0] < low || to.zeros[0] > high) return false;
    moved_.push_back(value.node);
    return std::ranges::all_of(node.operands, [&](Value v) { return Returns(v, to); });
  }

  void Cancel(NodeId root, const Scaling& to) {
    std::vector<Value> reals;
    for (NodeId id : moved_) {
      if (id != root) reals.push_back({id, 0});
    }
    Applied(context_, kRule, graph_, moved_,
            Cat(Label(graph_, root), " gives back the codes of ",
                Label(graph_, SourceOf(to.value).node)),
            {.launches = 1, .bytes = RoundTripBytes(graph_, reals)});
    GraphBuilder& b = rewriter_.For(moved_);
    std::map<NodeId, Value> codes;
    const auto code_of = [&](Value v) {
      const auto made = codes.find(v.node);
      return made != codes.end() ? made->second : ReadDequantize(graph_, v)->value;
    };
    std::vector<NodeId> order(moved_.begin() + 1, moved_.end());
    std::ranges::sort(order);
    for (NodeId id : order) codes[id] = OnCodes(b, graph_.node(id), to, code_of);
    rewriter_.Replace({root, 0}, code_of(to.value));
  }

  // A dequantize at the end of the first path.
  Value SourceOf(Value v) const {
    while (graph_.node(v.node).op != OpKind::kDequantize) v = graph_.node(v.node).operands[0];
    return v;
  }

  // By value: emitting grows the graph.
  template <class CodeOf>
  static Value OnCodes(GraphBuilder& b, Node node, const Scaling& to, const CodeOf& code_of) {
    std::vector<Value> operands;
    for (Value v : node.operands) operands.push_back(code_of(v));
    if (node.op != OpKind::kRelu) return b.Emit(node.op, std::move(operands), node.attrs);
    return b.Max(operands[0], b.Scalar(to.code, static_cast<double>(to.zeros[0])));
  }

  Graph& graph_;
  PassContext& context_;
  Rewriter rewriter_;
  const std::vector<bool> donated_;
  std::vector<NodeId> moved_;  // the quantize node first
  std::string why_;
};

}  // namespace

absl::Status CancelQuantizePairs(Graph& graph, PassContext& context) {
  return Cancellation(graph, context).Run();
}

extern const Pass kCancelQuantizePairsPass = {
    .name = "cancel_quantize_pairs",
    .run = CancelQuantizePairs,
    .needs = {OpKind::kQuantize},
    .fusion = true,
    .after = "lower_dot_general",
    .why = "While quantize and dequantize are still nodes: most targets take them apart next",
};

}  // namespace rlx::passes
