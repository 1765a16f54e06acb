// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/match.h"
#include "runtime/passes/matmul_epilogue.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

//   matmul | fused_matmul_bias_act ── [activation] ──┐
//   residual ──────────────────────────────────────  add
//        =>  fused_matmul_bias_act(.., residual) {activation}
// and the activation without a residual sum.
namespace rlx::passes {
namespace {

const Pattern& ProductPattern() {
  static const Pattern pattern =
      OneOf({OpKind::kMatMul, OpKind::kFusedMatMulBiasAct}, {}).As("product");
  return pattern;
}
const Pattern& ActivationPattern() {
  static const Pattern pattern = OneOf(EpilogueActivations(), {ProductPattern()}).As("activation");
  return pattern;
}
const Pattern& ResidualPattern() {
  static const Pattern pattern = Op(OpKind::kAdd, {ProductPattern(), Any("residual")});
  return pattern;
}
const Pattern& ActivationResidualPattern() {
  static const Pattern pattern = Op(OpKind::kAdd, {ActivationPattern(), Any("residual")});
  return pattern;
}

// A product and everything applied to it.
struct Product {
  Value x, w, bias, residual;
  std::string activation = "none";

  explicit Product(const Node& node) : x(node.operands[0]), w(node.operands[1]) {
    if (node.op == OpKind::kMatMul) return;
    size_t next = 2;
    if (node.Bool("has_bias")) bias = node.operands[next++];
    if (node.Bool("has_residual")) residual = node.operands[next++];
    activation = node.Str("activation");
  }

  Value Emit(GraphBuilder& b) const {
    std::vector<Value> operands = {x, w};
    if (bias.valid()) operands.push_back(bias);
    if (residual.valid()) operands.push_back(residual);
    return b.Emit(OpKind::kFusedMatMulBiasAct, std::move(operands),
                  {{"has_bias", bias.valid()},
                   {"has_residual", residual.valid()},
                   {"activation", activation}});
  }
};

class EpilogueFusion {
 public:
  EpilogueFusion(Graph& graph, PassContext& context)
      : graph_(graph),
        context_(context),
        rewriter_(graph, context),
        matcher_(rewriter_),
        fixed_(WeightOnly(graph)) {}

  absl::Status Run() {
    // Users first, so that a residual sum takes the activation along.
    for (NodeId root = rewriter_.size() - 1; root >= 0; --root) {
      if (rewriter_.Taken(root) || fixed_[root]) continue;
      const OpKind op = graph_.node(root).op;
      if (IsEpilogueActivation(op)) Try(root, ActivationPattern(), true, false);
      if (op == OpKind::kAdd && !Try(root, ActivationResidualPattern(), true, true)) {
        Try(root, ResidualPattern(), false, true);
      }
    }
    return rewriter_.Finish();
  }

 private:
  bool Try(NodeId root, const Pattern& pattern, bool activation, bool residual) {
    const std::optional<Match> match = matcher_.Find(
        root, pattern, [&](const Match& m) { return Check(m, activation, residual); });
    if (!match || rewriter_.AnyTaken(match->interior)) return false;
    Product product(graph_.node(match->at("product").node));
    if (activation) product.activation = Name(graph_.node(match->at("activation").node).op);
    if (residual) product.residual = match->at("residual");
    Report(*match, activation ? product.activation : "", residual);
    rewriter_.Replace({root, 0}, product.Emit(rewriter_.For(match->interior)));
    return true;
  }

  std::optional<Refusal> Check(const Match& match, bool activation, bool residual) const {
    const Value value = match.at("product");
    const Product product(graph_.node(value.node));
    if (!IsFloat(graph_.type(value).dtype) || graph_.type(product.w).rank() != 2) {
      return Refusal{Reason::kOtherOp, "has a product by no matrix"};
    }
    // What is computed once, when weights are bound, stays out of what runs every time.
    if (fixed_[value.node]) return Refusal{Reason::kOtherOp, "follows a weight"};
    if (product.residual.valid() || (activation && product.activation != "none")) {
      return Refusal{Reason::kOtherOp, "follows a finished product"};
    }
    if (residual && graph_.type(match.at("residual")) != graph_.type(value)) {
      return Refusal{Reason::kOtherOp, "adds another shape"};
    }
    return std::nullopt;
  }

  void Report(const Match& match, std::string_view activation, bool residual) {
    std::vector<Value> intermediates;
    for (size_t i = 1; i < match.interior.size(); ++i) {
      intermediates.push_back({match.interior[i], 0});
    }
    Applied(context_, kMatMulBiasActRule, graph_, match.interior,
            Cat(Label(graph_, match.at("product").node), " takes ", activation,
                !activation.empty() && residual ? " and " : "", residual ? "the residual sum" : ""),
            {.launches = static_cast<int64_t>(intermediates.size()),
             .bytes = RoundTripBytes(graph_, intermediates)});
  }

  Graph& graph_;
  PassContext& context_;
  Rewriter rewriter_;
  Matcher matcher_;
  const std::vector<bool> fixed_;
};

}  // namespace

const std::vector<OpKind>& EpilogueActivations() {
  static const std::vector<OpKind> kinds = {OpKind::kGelu, OpKind::kGeluTanh, OpKind::kSilu,
                                            OpKind::kRelu, OpKind::kTanh,     OpKind::kSigmoid};
  return kinds;
}

bool IsEpilogueActivation(OpKind op) { return std::ranges::count(EpilogueActivations(), op) > 0; }

absl::Status FuseMatMulEpilogue(Graph& graph, PassContext& context) {
  return EpilogueFusion(graph, context).Run();
}

extern const Pass kFuseMatMulEpiloguePass = {
    .name = "fuse_matmul_epilogue",
    .run = FuseMatMulEpilogue,
    .gate = "FusedMatMulBiasAct",
    .fusion = true,
    .after = "fuse_swiglu",
    .why = "Whatever activation or residual sum is still next to a product",
};

}  // namespace rlx::passes
