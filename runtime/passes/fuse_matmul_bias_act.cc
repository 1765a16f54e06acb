// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/epilogue.h"
#include "runtime/passes/linear.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

//   x ──┐
//   w ── matmul ──┐
//   bias [N] ──── add ── [gelu | gelu_tanh | silu | relu | tanh | sigmoid]
//                        =>  fused_matmul_bias_act(x, w, bias) {activation}
namespace rlx::passes {
namespace {

const Pattern& BiasPattern() {
  static const Pattern pattern =
      Op(OpKind::kAdd, {Op(OpKind::kMatMul, {Any("x"), Any("w")}).As("product"), Any("bias")});
  return pattern;
}

const Pattern& BiasActPattern() {
  static const Pattern pattern = OneOf(EpilogueActivations(), {BiasPattern()});
  return pattern;
}

class BiasFusion {
 public:
  BiasFusion(Graph& graph, PassContext& context)
      : graph_(graph),
        context_(context),
        rewriter_(graph, context),
        matcher_(rewriter_),
        fixed_(WeightOnly(graph)) {}

  absl::Status Run() {
    // Users first, so that an activation takes its sum along.
    for (NodeId root = rewriter_.size() - 1; root >= 0; --root) {
      if (rewriter_.Taken(root) || fixed_[root]) continue;
      const OpKind op = graph_.node(root).op;
      if (IsEpilogueActivation(op)) TryActivation(root);
      if (op == OpKind::kAdd) TryBias(root);
    }
    return rewriter_.Finish();
  }

 private:
  std::optional<Refusal> Check(const Match& match) const {
    const TensorType& product = graph_.type(match.at("product"));
    const TensorType& bias = graph_.type(match.at("bias"));
    const TensorType& sum = graph_.type({match.interior.front(), 0});
    if (!IsFloat(product.dtype) || sum != product) return Refusal{Reason::kOtherOp, "stretches"};
    if (!IsRow(bias, product.shape.back())) {
      const bool table = fixed_[match.at("bias").node] && bias.rank() > 1;
      return Refusal{table ? Reason::kBiasRankTooHigh : Reason::kOtherOp,
                     Cat("adds ", bias, " to rows of ", product.shape.back())};
    }
    // What is computed once, when weights are bound, stays out of what runs every time.
    if (fixed_[match.at("product").node]) return Refusal{Reason::kOtherOp, "adds to a weight"};
    const int rank = graph_.type(match.at("w")).rank();
    if (rank == 2) return std::nullopt;
    return Refusal{Reason::kWeightShape, Cat("adds to a product by a matrix of rank ", rank)};
  }

  std::optional<Match> Find(NodeId root, const Pattern& pattern) {
    return matcher_.Find(root, pattern, [this](const Match& match) { return Check(match); });
  }

  void TryActivation(NodeId root) {
    if (const std::optional<Match> match = Find(root, BiasActPattern())) {
      return Fuse(root, *match, Name(graph_.node(root).op));
    }
    const Explanation why = matcher_.why();
    if (why.near && why.node != root && graph_.node(why.node).op == OpKind::kAdd) {
      Missed(context_, kMatMulBiasActRule, why.reason, graph_, why.node,
             Cat(why.message, ", so ", Label(graph_, root), " runs by itself"));
    }
  }

  void TryBias(NodeId root) {
    const std::optional<Match> match = Find(root, BiasPattern());
    if (!match) {
      const Explanation why = matcher_.why();
      if (why.near) {
        Missed(context_, kMatMulBiasActRule, why.reason, graph_, why.node, why.message);
      }
      return;
    }
    NoteOtherActivation(root);
    Fuse(root, *match, "none");
  }

  // A function follows that products cannot apply.
  void NoteOtherActivation(NodeId sum) {
    const NodeId user = rewriter_.uses().OnlyUser({sum, 0});
    if (user < 0) return;
    const Node& node = graph_.node(user);
    if (!IsElementwise(node.op) || node.operands.size() != 1 || IsEpilogueActivation(node.op)) {
      return;
    }
    Missed(context_, kMatMulBiasActRule, Reason::kUnsupportedEpilogueActivation, graph_, user,
           Cat(Label(graph_, user), " cannot be applied by the product"));
  }

  void Fuse(NodeId root, const Match& match, std::string_view activation) {
    if (rewriter_.AnyTaken(match.interior)) return;
    std::vector<Value> intermediates;
    for (NodeId id : match.interior) {
      if (id != root) intermediates.push_back({id, 0});
    }
    Applied(context_, kMatMulBiasActRule, graph_, match.interior,
            Cat(Label(graph_, match.at("product").node), " takes its bias",
                activation == "none" ? "" : " and ", activation == "none" ? "" : activation),
            {.launches = static_cast<int64_t>(intermediates.size()),
             .bytes = RoundTripBytes(graph_, intermediates)});
    GraphBuilder& b = rewriter_.For(match.interior);
    Value bias = match.at("bias");
    if (b.type(bias).rank() != 1) bias = b.Reshape(bias, {b.type(bias).shape.back()});
    rewriter_.Replace({root, 0},
                      b.Emit(OpKind::kFusedMatMulBiasAct, {match.at("x"), match.at("w"), bias},
                             {{"has_bias", true}, {"activation", std::string(activation)}}));
  }

  Graph& graph_;
  PassContext& context_;
  Rewriter rewriter_;
  Matcher matcher_;
  const std::vector<bool> fixed_;
};

}  // namespace

absl::Status FuseMatMulBiasAct(Graph& graph, PassContext& context) {
  return BiasFusion(graph, context).Run();
}

extern const Pass kFuseMatMulBiasActPass = {
    .name = "fuse_matmul_bias_act",
    .run = FuseMatMulBiasAct,
    .needs = {OpKind::kMatMul},
    .gate = "FusedMatMulBiasAct",
    .parts = {OpKind::kGelu, OpKind::kGeluTanh, OpKind::kSilu, OpKind::kRelu, OpKind::kTanh,
              OpKind::kSigmoid},
    .fusion = true,
    .after = "fuse_swiglu_dual_matmul",
    .why =
        "Products with a bias, so that those that share an input can be merged with their "
        "biases",
};

}  // namespace rlx::passes
