// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/linear.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

//      ┌─ linear ─[rope]─[heads]─[rope]─ q ─┐
//   x ─┼─ linear ─[rope]─[heads]─[rope]─ k ─ attention ─[joined]─ linear
//      └─ linear ─[heads]────────────── v ─┘    │
//                                         [mask]┘
//        =>  fused_attention_block(x, qkv_w, [qkv_b], out_w, [out_b], [cos, sin, [positions]],
//        mask)
//
// heads is reshape to [b,s,h,d] and transpose to [b,h,s,d]; joined undoes it. q, k and v may be
// slices of one product. Joining weights, and zeros for a bias that one of the three lacks, depend
// on weights alone, so they are made once, when weights are bound.
namespace rlx::passes {
namespace {

constexpr Rule kRule("attention_block");

const std::vector<int64_t> kSwapHeads = {0, 2, 1, 3};

// One of q, k and v: some columns of a linear.
struct Part {
  Linear linear;
  int64_t start = 0, length = 0;
  std::vector<Value> rope;  // cos, sin[, positions]
  int64_t n_rot = 0;
  std::vector<NodeId> nodes;  // on the way from the linear
};

struct BlockMatch {
  Value x, out_w, out_b, mask;
  Part parts[3];
  std::vector<NodeId> nodes;  // the last one first
};

class AttentionBlocks {
 public:
  AttentionBlocks(Graph& graph, PassContext& context)
      : graph_(graph), context_(context), rewriter_(graph, context), fixed_(WeightOnly(graph)) {}

  absl::Status Run() {
    for (NodeId id = 0; id < rewriter_.size(); ++id) {
      if (graph_.node(id).op == OpKind::kAttention && !rewriter_.Taken(id)) Try(id);
    }
    return rewriter_.Finish();
  }

 private:
  void Miss(Reason reason, NodeId at, std::string message) {
    Missed(context_, kRule, reason, graph_, at, std::move(message));
  }

  void Try(NodeId attention) {
    std::optional<BlockMatch> match = Read(attention);
    if (!match) return;
    if (const auto leak = FindLeak(graph_, rewriter_.uses(), match->nodes)) {
      return Miss(leak->reason, leak->at, leak->message);
    }
    if (rewriter_.AnyTaken(match->nodes) || !WeightsFixed(attention, *match)) return;
    Emit(attention, *match);
  }

  std::optional<BlockMatch> Read(NodeId attention) {
    const Node& node = graph_.node(attention);
    BlockMatch match;
    if (!ReadOutput(attention, match)) return std::nullopt;
    match.nodes.push_back(attention);
    for (int i = 0; i < 3; ++i) {
      std::optional<Part> part = ReadPart(node, i);
      if (!part) {
        Miss(Reason::kAttentionNoProjection, attention,
             Cat(Label(graph_, attention), " takes operand ", i, ", ",
                 Label(graph_, node.operands[i].node), ", from no projection"));
        return std::nullopt;
      }
      match.nodes.insert(match.nodes.end(), part->nodes.begin(), part->nodes.end());
      match.nodes.insert(match.nodes.end(), part->linear.nodes.begin(), part->linear.nodes.end());
      match.parts[i] = *std::move(part);
    }
    if (node.operands.size() > 3) match.mask = node.operands[3];
    return Agree(attention, match) ? std::optional(std::move(match)) : std::nullopt;
  }

  // From the attention to the projection of its result.
  bool ReadOutput(NodeId attention, BlockMatch& match) {
    Value heads{attention, 0};
    std::vector<NodeId> way;
    if (graph_.type(heads).rank() == 4) {
      const NodeId swap = rewriter_.uses().OnlyUser(heads);
      if (swap < 0 || graph_.node(swap).op != OpKind::kTranspose ||
          graph_.node(swap).Ints("perm") != kSwapHeads) {
        return NoProjection(attention);
      }
      const NodeId join = rewriter_.uses().OnlyUser({swap, 0});
      if (join < 0 || graph_.node(join).op != OpKind::kReshape ||
          graph_.type({join, 0}).rank() != 3 || !SameRows(graph_.type({join, 0}), swap)) {
        return NoProjection(attention);
      }
      way = {join, swap};
      heads = {join, 0};
    }
    const NodeId user = rewriter_.uses().OnlyUser(heads);
    if (user < 0) return NoProjection(attention);
    NodeId root = user;
    if (graph_.node(user).op == OpKind::kMatMul) {
      const NodeId sum = rewriter_.uses().OnlyUser({user, 0});
      const auto with_bias = sum < 0 ? std::nullopt : ReadProjection(graph_, {sum, 0});
      if (with_bias && Fixed(with_bias->bias)) root = sum;
    }
    const std::optional<Linear> out = ReadProjection(graph_, {root, 0});
    if (!out || out->x != heads || out->nodes.back() != user) return NoProjection(attention);
    match.out_w = out->w;
    match.out_b = out->bias;
    match.nodes = out->nodes;
    match.nodes.insert(match.nodes.end(), way.begin(), way.end());
    return true;
  }

  // Whether [b,s,h·d] keeps the first two extents of what node `swap` makes.
  bool SameRows(const TensorType& joined, NodeId swap) const {
    const Shape& split = graph_.type({swap, 0}).shape;
    return joined.shape[0] == split[0] && joined.shape[1] == split[1];
  }

  bool NoProjection(NodeId attention) {
    Miss(Reason::kAttentionNoProjection, attention,
         Cat(Label(graph_, attention), " is not followed by a projection alone"));
    return false;
  }

  // From operand `i` of the attention back to its linear.
  std::optional<Part> ReadPart(const Node& attention, int i) {
    Part part;
    Value value = attention.operands[i];
    ReadRope(attention, value, part);
    if (graph_.type(value).rank() == 4 && !ReadHeads(value, part)) return std::nullopt;
    ReadRope(attention, value, part);
    part.length =
        graph_.type(value).shape.back().is_static() ? graph_.type(value).shape.back().value() : -1;
    const Node& slice = graph_.node(value.node);
    if (slice.op == OpKind::kNarrow) {
      if (slice.Int("axis") != graph_.type(value).rank() - 1) return std::nullopt;
      part.start = slice.Int("start");
      part.nodes.push_back(value.node);
      value = slice.operands[0];
    }
    std::optional<Linear> linear = ReadProjection(graph_, value);
    if (!linear || part.length < 0) return std::nullopt;
    part.linear = *std::move(linear);
    return part;
  }

  void ReadRope(const Node& attention, Value& value, Part& part) const {
    const Node& rope = graph_.node(value.node);
    if (rope.op != OpKind::kRope || !part.rope.empty()) return;
    if (rope.Int("head_dim") != attention.Int("head_dim")) return;
    part.rope.assign(rope.operands.begin() + 1, rope.operands.end());
    part.n_rot = rope.Find("n_rot") != nullptr ? rope.Int("n_rot") : rope.Int("head_dim");
    part.nodes.push_back(value.node);
    value = rope.operands[0];
  }

  // transpose(reshape(x, [b,s,h,d]), 0 2 1 3).
  bool ReadHeads(Value& value, Part& part) const {
    const Node& swap = graph_.node(value.node);
    if (swap.op != OpKind::kTranspose || swap.Ints("perm") != kSwapHeads) return false;
    const Value split = swap.operands[0];
    const Node& reshape = graph_.node(split.node);
    if (reshape.op != OpKind::kReshape) return false;
    const Shape &from = graph_.type(reshape.operands[0]).shape, &to = graph_.type(split).shape;
    if (from.size() != 3 || from[0] != to[0] || from[1] != to[1]) return false;
    part.nodes.push_back(value.node);
    part.nodes.push_back(split.node);
    value = reshape.operands[0];
    return true;
  }

  // Whether the three parts read one value, rotate alike and have heads of one width.
  bool Agree(NodeId attention, BlockMatch& match) {
    const Node& node = graph_.node(attention);
    const auto& [q, k, v] = match.parts;
    match.x = q.linear.x;
    if (k.linear.x != match.x || v.linear.x != match.x) {
      Miss(Reason::kAttentionNotSharedInput, attention,
           Cat(Label(graph_, attention), " attends from ", Label(graph_, match.x.node), " to ",
               Label(graph_, k.linear.x.node)));
      return false;
    }
    const int64_t heads = node.Int("num_heads"), width = node.Int("head_dim");
    const int64_t kv_heads =
        node.Find("num_kv_heads") != nullptr ? node.Int("num_kv_heads") : heads;
    const bool widths =
        q.length == heads * width && k.length == kv_heads * width && v.length == kv_heads * width;
    const bool ropes = q.rope == k.rope && q.n_rot == k.n_rot && v.rope.empty();
    if (graph_.type(match.x).rank() == 3 && widths && ropes) return true;
    Miss(Reason::kAttentionOtherForm, attention,
         Cat(Label(graph_, attention), ropes ? " has values of another width than its keys"
                                             : " rotates queries and keys differently"));
    return false;
  }

  bool WeightsFixed(NodeId attention, const BlockMatch& match) {
    std::vector<Value> weights = {match.out_w};
    if (match.out_b.valid()) weights.push_back(match.out_b);
    for (const Part& part : match.parts) {
      weights.push_back(part.linear.w);
      if (part.linear.bias.valid()) weights.push_back(part.linear.bias);
    }
    for (Value weight : weights) {
      if (fixed_[weight.node]) continue;
      Miss(Reason::kWeightNotConstant, attention,
           Cat(Label(graph_, attention), " has a projection by ", Label(graph_, weight.node),
               ", which is no weight"));
      return false;
    }
    return !fixed_[match.x.node];
  }

  // Whether a bias was read at all, and is made of weights alone.
  bool Fixed(Value bias) const { return bias.valid() && fixed_[bias.node]; }

  static bool OneProduct(const BlockMatch& match, const Graph& graph) {
    const auto& [q, k, v] = match.parts;
    const bool same =
        q.linear.nodes == k.linear.nodes && q.linear.nodes == v.linear.nodes && q.start == 0;
    return same && k.start == q.length && v.start == q.length + k.length &&
           graph.type(q.linear.w).shape.back() == Dim(v.start + v.length);
  }

  // The columns of a weight or bias that a part uses.
  static Value Columns(GraphBuilder& b, Value whole, const Part& part) {
    const int axis = b.type(whole).rank() - 1;
    if (b.type(whole).shape.back() == Dim(part.length)) return whole;
    return b.Narrow(whole, axis, part.start, part.length);
  }

  static Value AsRow(GraphBuilder& b, Value bias) {
    return b.type(bias).rank() == 1 ? bias : b.Reshape(bias, {b.type(bias).shape.back()});
  }

  Value JoinedWeights(GraphBuilder& b, const BlockMatch& match) const {
    if (OneProduct(match, graph_)) return match.parts[0].linear.w;
    std::vector<Value> weights;
    for (const Part& part : match.parts) weights.push_back(Columns(b, part.linear.w, part));
    return b.Concat(std::move(weights), 1);
  }

  Value JoinedBiases(GraphBuilder& b, const BlockMatch& match) const {
    if (OneProduct(match, graph_)) return AsRow(b, match.parts[0].linear.bias);
    const DType dtype = b.type(match.x).dtype;
    std::vector<Value> biases;
    for (const Part& part : match.parts) {
      biases.push_back(part.linear.bias.valid() ? Columns(b, AsRow(b, part.linear.bias), part)
                                                : b.Expand(b.Scalar(dtype, 0), {Dim(part.length)}));
    }
    return b.Concat(std::move(biases), 0);
  }

  static std::vector<Attr> Attrs(const Node& attention, const BlockMatch& match) {
    std::vector<Attr> attrs = attention.attrs;
    const Part& q = match.parts[0];
    attrs.push_back({"has_qkv_bias", HasBias(match)});
    attrs.push_back({"has_out_bias", match.out_b.valid()});
    attrs.push_back({"has_rope", !q.rope.empty()});
    attrs.push_back({"has_positions", q.rope.size() == 3});
    if (!q.rope.empty()) attrs.push_back({"n_rot", q.n_rot});
    return attrs;
  }

  static bool HasBias(const BlockMatch& match) {
    return std::ranges::any_of(match.parts, [](const Part& p) { return p.linear.bias.valid(); });
  }

  // Of the block's operands, which need not exist yet.
  std::vector<TensorType> OperandTypes(const BlockMatch& match) const {
    const TensorType &x = graph_.type(match.x), &out_w = graph_.type(match.out_w);
    Dim joint = 0;
    for (const Part& part : match.parts) joint = joint + Dim(part.length);
    std::vector<TensorType> types = {x, {x.dtype, {x.shape[2], joint}}};
    if (HasBias(match)) types.push_back({x.dtype, {joint}});
    types.push_back(out_w);
    if (match.out_b.valid()) types.push_back({x.dtype, {out_w.shape[1]}});
    for (Value v : match.parts[0].rope) types.push_back(graph_.type(v));
    if (match.mask.valid()) types.push_back(graph_.type(match.mask));
    return types;
  }

  void Report(NodeId attention, const BlockMatch& match) {
    std::set<Value> intermediates;
    for (size_t i = 1; i < match.nodes.size(); ++i) intermediates.insert({match.nodes[i], 0});
    Applied(context_, kRule, graph_, match.nodes,
            Cat(Label(graph_, attention), " and its projections become one block"),
            {.launches = static_cast<int64_t>(intermediates.size()),
             .bytes = RoundTripBytes(graph_, {intermediates.begin(), intermediates.end()})});
  }

  void Emit(NodeId attention, const BlockMatch& match) {
    const std::vector<Attr> attrs = Attrs(graph_.node(attention), match);
    if (!WouldRun(context_, OpKind::kFusedAttentionBlock, OperandTypes(match), attrs)) {
      return Miss(Reason::kBackendRefuses, attention,
                  Cat("the back end does not run the block around ", Label(graph_, attention)));
    }
    Report(attention, match);
    GraphBuilder& b = rewriter_.For(match.nodes);
    std::vector<Value> operands = {match.x, JoinedWeights(b, match)};
    if (HasBias(match)) operands.push_back(JoinedBiases(b, match));
    operands.push_back(match.out_w);
    if (match.out_b.valid()) operands.push_back(AsRow(b, match.out_b));
    operands.insert(operands.end(), match.parts[0].rope.begin(), match.parts[0].rope.end());
    if (match.mask.valid()) operands.push_back(match.mask);
    rewriter_.Replace({match.nodes.front(), 0},
                      b.Emit(OpKind::kFusedAttentionBlock, std::move(operands), attrs));
  }

  Graph& graph_;
  PassContext& context_;
  Rewriter rewriter_;
  const std::vector<bool> fixed_;
};

}  // namespace

absl::Status FuseAttentionBlock(Graph& graph, PassContext& context) {
  return AttentionBlocks(graph, context).Run();
}

extern const Pass kFuseAttentionBlockPass = {
    .name = "fuse_attention_block",
    .run = FuseAttentionBlock,
    .needs = {OpKind::kAttention},
    .gate = "FusedAttentionBlock",
    .parts = {OpKind::kAttention, OpKind::kRope, OpKind::kFusedMatMulBiasAct},
    .fusion = true,
    .after = "common_subexpression_elimination",
    .why =
        "The largest patterns first, while the products and norms inside them are still their "
        "own",
};

}  // namespace rlx::passes
