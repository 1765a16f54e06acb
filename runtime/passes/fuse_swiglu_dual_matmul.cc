// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/text.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/match.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

//   x, up_w ─── matmul ────────┐
//   x, gate_w ─ matmul ─ silu ─ mul   =>   fused_swiglu(matmul(x, concat(up_w, gate_w)))
// The concatenation depends on weights alone, so it is done once, when they are bound.
namespace rlx::passes {
namespace {

const Pattern& SwigluPattern() {
  static const Pattern pattern =
      Op(OpKind::kMul,
         {Op(OpKind::kMatMul, {Any("x"), Any("up_w")}).As("up"),
          Op(OpKind::kSilu, {Op(OpKind::kMatMul, {Any("gate_x"), Any("gate_w")}).As("gate")})});
  return pattern;
}

std::optional<Refusal> Check(const Graph& graph, const std::vector<bool>& fixed,
                             const Match& match) {
  const TensorType &up_w = graph.type(match.at("up_w")), &gate_w = graph.type(match.at("gate_w"));
  if (!IsFloat(up_w.dtype)) return Refusal{Reason::kOtherOp, "is not a float"};
  if (match.at("x") != match.at("gate_x")) {
    return Refusal{Reason::kSwigluNotSharedInput,
                   Cat("multiplies projections of ", Label(graph, match.at("x").node), " and ",
                       Label(graph, match.at("gate_x").node))};
  }
  if (up_w.rank() != 2 || up_w != gate_w || !up_w.shape.back().is_static()) {
    return Refusal{Reason::kWeightShape, Cat("has weights ", up_w, " and ", gate_w)};
  }
  if (!fixed[match.at("up_w").node] || !fixed[match.at("gate_w").node]) {
    return Refusal{Reason::kWeightNotConstant, "has projections whose right sides are no weights"};
  }
  return std::nullopt;
}

}  // namespace

absl::Status FuseSwigluDualMatMul(Graph& graph, PassContext& context) {
  Rewriter rewriter(graph, context);
  Matcher matcher(rewriter);
  const std::vector<bool> fixed = WeightOnly(graph);
  for (NodeId root = 0; root < rewriter.size(); ++root) {
    if (graph.node(root).op != OpKind::kMul || fixed[root]) continue;
    const std::optional<Match> match =
        matcher.Find(root, SwigluPattern(), [&](const Match& m) { return Check(graph, fixed, m); });
    if (!match) {
      const Explanation why = matcher.why();
      if (why.near) Missed(context, kSwigluRule, why.reason, graph, why.node, why.message);
      continue;
    }
    if (rewriter.AnyTaken(match->interior)) continue;
    const Value up = match->at("up"), gate = match->at("gate");
    // Two products and silu become one product; silu's result is never written.
    Applied(context, kSwigluRule, graph, match->interior,
            Cat(Label(graph, up.node), " and ", Label(graph, gate.node), " become one product"),
            {.launches = 2, .bytes = RoundTripBytes(graph, {gate})});
    GraphBuilder& b = rewriter.For(match->interior);
    const Value weights = b.Concat({match->at("up_w"), match->at("gate_w")}, 1);
    const Value product = b.MatMul(match->at("x"), weights);
    rewriter.Replace({root, 0}, b.Emit(OpKind::kFusedSwiglu, {product}, {{"gate_first", false}}));
  }
  return rewriter.Finish();
}

extern const Pass kFuseSwigluDualMatMulPass = {
    .name = "fuse_swiglu_dual_matmul",
    .run = FuseSwigluDualMatMul,
    .needs = {OpKind::kSilu},
    .gate = "FusedSwiGLU",
    .parts = {OpKind::kSilu},
    .fusion = true,
    .after = "fuse_rms_norm_reshape",
    .why =
        "Before the gate's silu can become its product's epilogue, and before "
        "shared_input_matmul merges gate and up in another order",
};

}  // namespace rlx::passes
