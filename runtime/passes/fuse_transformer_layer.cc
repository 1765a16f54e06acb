// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/linear.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

//   x ─┬─ fused_attention_block ─ add ─ layer_norm ─┬─ linear ─ activation ─ linear ─ add ─
//   layer_norm
//      └───────────────────────────┘                └──────────────────────────────────┘
//        =>  fused_transformer_layer(x, ..): the encoder layer of BERT, norms after the sums
// Sum and norm may be one op already. Where some of the four products have a bias, the others get
// zeros.
namespace rlx::passes {
namespace {

constexpr Rule kRule("transformer_layer");

// layer_norm(a + b) over the last axis.
struct PostNorm {
  Value a, b, gamma, beta;
  double eps = 0;
  std::vector<NodeId> nodes;  // the norm first
};

std::optional<PostNorm> ReadPostNorm(const Graph& graph, Value value) {
  const Node& node = graph.node(value.node);
  if (value.result != 0) return std::nullopt;
  if (node.op == OpKind::kFusedResidualLayerNorm && !node.Bool("has_bias")) {
    return PostNorm{node.operands[0], node.operands[1],  node.operands[2],
                    node.operands[3], node.Float("eps"), {value.node}};
  }
  if (node.op != OpKind::kLayerNorm || node.Int("axis") != node.results[0].rank() - 1) {
    return std::nullopt;
  }
  const Node& sum = graph.node(node.operands[0].node);
  if (sum.op != OpKind::kAdd) return std::nullopt;
  for (Value side : sum.operands) {
    if (graph.type(side) != sum.results[0]) return std::nullopt;
  }
  return PostNorm{sum.operands[0],  sum.operands[1],   node.operands[1],
                  node.operands[2], node.Float("eps"), {value.node, node.operands[0].node}};
}

struct LayerMatch {
  Value x;
  NodeId block = -1;
  PostNorm first, last;
  Linear up, down;
  std::vector<NodeId> nodes;
};

void Append(std::vector<NodeId>& nodes, const std::vector<NodeId>& more) {
  nodes.insert(nodes.end(), more.begin(), more.end());
}

// The feed-forward half: last = layer_norm(h + down(up(h))).
std::optional<LayerMatch> ReadFeedForward(const Graph& graph, NodeId root) {
  std::optional<PostNorm> last = ReadPostNorm(graph, {root, 0});
  if (!last) return std::nullopt;
  for (const auto& [made, h] : {std::pair{last->a, last->b}, std::pair{last->b, last->a}}) {
    const std::optional<Linear> down = ReadProjection(graph, made);
    const std::optional<Linear> up = down ? ReadLinear(graph, down->x) : std::nullopt;
    if (!up || up->x != h) continue;
    LayerMatch match{.last = *last, .up = *up, .down = *down};
    Append(match.nodes, last->nodes);
    Append(match.nodes, down->nodes);
    Append(match.nodes, up->nodes);
    return match;
  }
  return std::nullopt;
}

// The attention half: h = layer_norm(x + block(x)).
bool ReadAttention(const Graph& graph, LayerMatch& match) {
  std::optional<PostNorm> first = ReadPostNorm(graph, match.up.x);
  if (!first) return false;
  for (const auto& [made, x] : {std::pair{first->a, first->b}, std::pair{first->b, first->a}}) {
    const Node& block = graph.node(made.node);
    if (block.op != OpKind::kFusedAttentionBlock || block.operands[0] != x) continue;
    match.x = x;
    match.block = made.node;
    match.first = *first;
    Append(match.nodes, first->nodes);
    match.nodes.push_back(made.node);
    return true;
  }
  return false;
}

class Layers {
 public:
  Layers(Graph& graph, PassContext& context)
      : graph_(graph), context_(context), rewriter_(graph, context), fixed_(WeightOnly(graph)) {}

  absl::Status Run() {
    for (NodeId root = 0; root < rewriter_.size(); ++root) {
      const OpKind op = graph_.node(root).op;
      if (op == OpKind::kLayerNorm || op == OpKind::kFusedResidualLayerNorm) Try(root);
    }
    return rewriter_.Finish();
  }

 private:
  void Miss(Reason reason, NodeId at, std::string message) {
    Missed(context_, kRule, reason, graph_, at, std::move(message));
  }

  void Try(NodeId root) {
    std::optional<LayerMatch> match = ReadFeedForward(graph_, root);
    if (!match || !ReadAttention(graph_, *match) || rewriter_.AnyTaken(match->nodes)) return;
    if (const auto refusal = Check(root, *match)) {
      return Miss(refusal->reason, root, Cat(Label(graph_, root), " ", refusal->message));
    }
    if (const auto leak = FindLeak(graph_, rewriter_.uses(), match->nodes)) {
      return Miss(leak->reason, leak->at, leak->message);
    }
    Emit(root, *match);
  }

  std::optional<Refusal> Check(NodeId root, const LayerMatch& match) const {
    if (graph_.node(match.block).Bool("has_rope")) {
      return Refusal{Reason::kLayerOtherForm, "follows a block that rotates"};
    }
    if (graph_.node(root).op == OpKind::kFusedResidualLayerNorm &&
        rewriter_.uses().Count({root, 1}) > 0) {
      return Refusal{Reason::kMultiConsumer, "has its residual sum read as well"};
    }
    std::vector<Value> weights = {match.first.gamma, match.first.beta, match.last.gamma,
                                  match.last.beta,   match.up.w,       match.down.w};
    for (Value bias : {match.up.bias, match.down.bias}) {
      if (bias.valid()) weights.push_back(bias);
    }
    for (Value weight : weights) {
      if (!fixed_[weight.node]) {
        return Refusal{Reason::kWeightNotConstant,
                       Cat("reads ", Label(graph_, weight.node), ", which is no weight")};
      }
    }
    return std::nullopt;
  }

  // The block's biases by position; invalid where it has none.
  struct BlockOperands {
    Value qkv_w, qkv_b, out_w, out_b, mask;
    explicit BlockOperands(const Node& block) {
      size_t next = 1;
      qkv_w = block.operands[next++];
      if (block.Bool("has_qkv_bias")) qkv_b = block.operands[next++];
      out_w = block.operands[next++];
      if (block.Bool("has_out_bias")) out_b = block.operands[next++];
      if (next < block.operands.size()) mask = block.operands[next];
    }
  };

  static std::vector<Attr> Attrs(const Node& block, const LayerMatch& match, bool bias) {
    std::vector<Attr> attrs;
    for (std::string_view name :
         {"num_heads", "num_kv_heads", "head_dim", "mask", "window", "scale", "softcap"}) {
      if (const AttrValue* value = block.Find(name)) attrs.push_back({std::string(name), *value});
    }
    attrs.push_back({"eps1", match.first.eps});
    attrs.push_back({"eps2", match.last.eps});
    attrs.push_back({"activation", match.up.activation});
    attrs.push_back({"has_bias", bias});
    return attrs;
  }

  // The operands in order; a product without a bias gets zeros when another has one.
  std::vector<Value> Operands(GraphBuilder& b, const LayerMatch& match, const BlockOperands& block,
                              bool bias) const {
    std::vector<Value> operands = {match.x};
    const auto linear = [&](Value w, Value row) {
      operands.push_back(w);
      if (!bias) return;
      const Dim n = b.type(w).shape[1];
      if (!row.valid()) row = b.Expand(b.Scalar(b.type(w).dtype, 0), {n});
      operands.push_back(b.type(row).rank() == 1 ? row : b.Reshape(row, {n}));
    };
    linear(block.qkv_w, block.qkv_b);
    linear(block.out_w, block.out_b);
    operands.insert(operands.end(), {match.first.gamma, match.first.beta});
    linear(match.up.w, match.up.bias);
    linear(match.down.w, match.down.bias);
    operands.insert(operands.end(), {match.last.gamma, match.last.beta});
    if (block.mask.valid()) operands.push_back(block.mask);
    return operands;
  }

  std::vector<TensorType> OperandTypes(const LayerMatch& match, const BlockOperands& block,
                                       bool bias) const {
    std::vector<TensorType> types = {graph_.type(match.x)};
    const auto linear = [&](Value w) {
      types.push_back(graph_.type(w));
      if (bias) types.push_back({types.back().dtype, {types.back().shape[1]}});
    };
    linear(block.qkv_w);
    linear(block.out_w);
    for (Value v : {match.first.gamma, match.first.beta}) types.push_back(graph_.type(v));
    linear(match.up.w);
    linear(match.down.w);
    for (Value v : {match.last.gamma, match.last.beta}) types.push_back(graph_.type(v));
    if (block.mask.valid()) types.push_back(graph_.type(block.mask));
    return types;
  }

  void Emit(NodeId root, const LayerMatch& match) {
    const BlockOperands block(graph_.node(match.block));
    bool bias = false;
    for (Value row : {block.qkv_b, block.out_b, match.up.bias, match.down.bias}) {
      bias = bias || row.valid();
    }
    const std::vector<Attr> attrs = Attrs(graph_.node(match.block), match, bias);
    const OpKind op = OpKind::kFusedTransformerLayer;
    if (!WouldRun(context_, op, OperandTypes(match, block, bias), attrs)) {
      return Miss(Reason::kBackendRefuses, root,
                  Cat("the back end does not run the layer up to ", Label(graph_, root)));
    }
    std::vector<Value> intermediates;
    for (size_t i = 1; i < match.nodes.size(); ++i) intermediates.push_back({match.nodes[i], 0});
    Applied(context_, kRule, graph_, match.nodes,
            Cat("the layer up to ", Label(graph_, root), " becomes one op"),
            {.launches = static_cast<int64_t>(intermediates.size()),
             .bytes = RoundTripBytes(graph_, intermediates)});
    GraphBuilder& b = rewriter_.For(match.nodes);
    rewriter_.Replace({root, 0}, b.Emit(op, Operands(b, match, block, bias), attrs));
  }

  Graph& graph_;
  PassContext& context_;
  Rewriter rewriter_;
  const std::vector<bool> fixed_;
};

}  // namespace

absl::Status FuseTransformerLayer(Graph& graph, PassContext& context) {
  return Layers(graph, context).Run();
}

extern const Pass kFuseTransformerLayerPass = {
    .name = "fuse_transformer_layer",
    .run = FuseTransformerLayer,
    .needs = {OpKind::kFusedAttentionBlock},
    .gate = "FusedTransformerLayer",
    .parts = {OpKind::kAttention, OpKind::kRope, OpKind::kLayerNorm, OpKind::kRmsNorm,
              OpKind::kFusedResidualLayerNorm, OpKind::kFusedResidualRmsNorm,
              OpKind::kFusedMatMulBiasAct, OpKind::kFusedSwiglu, OpKind::kGelu, OpKind::kGeluTanh,
              OpKind::kSilu},
    .fusion = true,
    .after = "fuse_attention_block",
    .why = "After the block, which it takes whole",
};

}  // namespace rlx::passes
