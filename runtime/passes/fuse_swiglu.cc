// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/text.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/match.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

//   c [.., 2N] ──┬── narrow(last, one half) ─────────┐
//                └── narrow(last, other half) ─ silu ─ mul   =>   fused_swiglu(c) {gate_first}
namespace rlx::passes {
namespace {

const Pattern& HalvesPattern() {
  static const Pattern pattern =
      Op(OpKind::kMul, {Op(OpKind::kNarrow, {Any("c")}).As("up"),
                        Op(OpKind::kSilu, {Op(OpKind::kNarrow, {Any("c")}).As("gate")})});
  return pattern;
}

// Where a narrow begins when it takes half of the last axis; -1 when it does not.
int64_t HalfStart(const Graph& graph, Value value) {
  const Node& node = graph.node(value.node);
  const TensorType& whole = graph.type(node.operands[0]);
  const int64_t axis = node.Int("axis"), last = whole.rank() - 1;
  if ((axis != last && axis != -1) || !whole.shape.back().is_static()) return -1;
  const int64_t width = whole.shape.back().value(), start = node.Int("start");
  const bool half = node.Int("length") * 2 == width && (start == 0 || start * 2 == width);
  return half ? start : -1;
}

}  // namespace

absl::Status FuseSwiglu(Graph& graph, PassContext& context) {
  Rewriter rewriter(graph, context);
  Matcher matcher(rewriter);
  const Guard guard = [&](const Match& match) -> std::optional<Refusal> {
    const int64_t up = HalfStart(graph, match.at("up")), gate = HalfStart(graph, match.at("gate"));
    const bool halves = up >= 0 && gate >= 0 && up != gate;
    if (halves && IsFloat(graph.type(match.at("c")).dtype)) return std::nullopt;
    return Refusal{Reason::kOtherOp, "does not multiply the two halves of the last axis"};
  };
  for (NodeId root = 0; root < rewriter.size(); ++root) {
    if (graph.node(root).op != OpKind::kMul) continue;
    const std::optional<Match> match = matcher.Find(root, HalvesPattern(), guard);
    if (!match) {
      const Explanation why = matcher.why();
      if (why.near) Missed(context, kSwigluRule, why.reason, graph, why.node, why.message);
      continue;
    }
    if (rewriter.AnyTaken(match->interior)) continue;
    const bool gate_first = HalfStart(graph, match->at("gate")) == 0;
    const NodeId silu = graph.node(root).operands[0] == match->at("up")
                            ? graph.node(root).operands[1].node
                            : graph.node(root).operands[0].node;
    Applied(context, kSwigluRule, graph, match->interior,
            Cat(Label(graph, root), " gates the halves of ", Label(graph, match->at("c").node)),
            {.launches = 1, .bytes = RoundTripBytes(graph, {{silu, 0}})});
    rewriter.Replace(
        {root, 0}, rewriter.For(match->interior)
                       .Emit(OpKind::kFusedSwiglu, {match->at("c")}, {{"gate_first", gate_first}}));
  }
  return rewriter.Finish();
}

extern const Pass kFuseSwigluPass = {
    .name = "fuse_swiglu",
    .run = FuseSwiglu,
    .needs = {OpKind::kSilu},
    .gate = "FusedSwiGLU",
    .parts = {OpKind::kSilu},
    .fusion = true,
    .after = "fuse_shared_input_matmul",
    .why = "After merging, which makes the two halves of one product",
};

}  // namespace rlx::passes
