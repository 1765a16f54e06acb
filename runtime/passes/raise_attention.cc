// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/known_mask.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/raise.h"

//   q ─[·]─────────────┐
//                      matmul ─[·]─[cap]─[masks]─ softmax ─[not NaN]─┐
//   k ─[·]─ transpose ─┘                                             matmul
//   v ───────────────────────────────────────────────────────────────┘
//        =>  attention(q, k, v[, mask]) {scale, softcap}
//
// [·] are products with numbers and quotients by them; cap is c·tanh(·/c); a mask is a sum with
// something, or -inf where a mask says. q, k and v are [b,h,s,d], or [b,s,d] for one head; keys
// and values that are repeated for groups of heads are taken as they were before. Where no key is
// kept attention gives zeros: that is NaN in what was written, or zeros where NaN is replaced.
namespace rlx::passes {
namespace {

constexpr Rule kRule("raise_attention");

struct Written {
  Value q, k, v;
  Value choice;               // bool: which scores count; invalid: all
  bool choice_drops = false;  // it says which do not
  bool finite = false;        // what does not count is filled with a finite number
  bool causal = false;        // the mask is known, and is this one
  std::vector<Value> biases;  // added to the scores
  std::vector<int64_t> turn;  // of k, which makes what attention takes; empty: none
  int64_t groups = 1;         // heads that share keys and values
  double scale = 1, softcap = 0;
  std::vector<NodeId> nodes;  // the root first
};

class Attentions {
 public:
  Attentions(Graph& graph, PassContext& context) : at_(graph, context, kRule) {}

  absl::Status Run() {
    for (NodeId id = 0; id < at_.size(); ++id) {
      if (at_.graph().node(id).op == OpKind::kSoftmax) Try(id);
    }
    return at_.Finish();
  }

 private:
  void Try(NodeId softmax) {
    Written w;
    if (!ReadMixing(softmax, w)) return;
    Value scores = at_.graph().node(softmax).operands[0];
    if (!ReadMasks(softmax, scores, w) || !ReadProduct(scores, w)) return;
    ReadGroups(w);
    if (!Fits(softmax, w)) return;
    SettleMask(w);
    Emit(w);
  }

  bool Miss(NodeId at, std::string_view what) {
    at_.Miss(Reason::kAttentionNotRaised, at, Cat(Label(at_.graph(), at), " ", what));
    return false;
  }

  // From the softmax to its product with v.
  bool ReadMixing(NodeId softmax, Written& w) {
    const Node& node = at_.graph().node(softmax);
    const int rank = node.results[0].rank();
    if ((rank != 3 && rank != 4) || node.Int("axis") != rank - 1) return false;
    if (!IsFloat(node.results[0].dtype)) return false;
    Value weights{softmax, 0};
    std::vector<NodeId> way = {softmax};
    ReadNanGuard(weights, way);
    const NodeId mixing = at_.UserWhere(weights, [&](const Node& user) {
      return user.op == OpKind::kMatMul && user.operands[0] == weights;
    });
    if (mixing < 0) return false;
    w.v = at_.graph().node(mixing).operands[1];
    w.nodes = {mixing};
    w.nodes.insert(w.nodes.end(), way.begin(), way.end());
    return true;
  }

  // where(weights ≠ weights, 0, weights).
  void ReadNanGuard(Value& weights, std::vector<NodeId>& way) const {
    const NodeId is_nan = at_.UserWhere(weights, [&](const Node& user) {
      return user.op == OpKind::kNe && user.operands[0] == weights && user.operands[1] == weights;
    });
    if (is_nan < 0) return;
    const NodeId guarded = at_.UserWhere(weights, [&](const Node& user) {
      return user.op == OpKind::kWhere && user.operands[0] == Value{is_nan, 0} &&
             user.operands[2] == weights && UniformConstant(at_.graph(), user.operands[1]) == 0.0;
    });
    if (guarded < 0) return;
    way.insert(way.end(), {is_nan, guarded});
    weights = {guarded, 0};
  }

  // Takes masks off the scores, the last one first.
  bool ReadMasks(NodeId softmax, Value& scores, Written& w) {
    constexpr int kMostMasks = 4;
    for (int i = 0; i < kMostMasks; ++i) {
      const Node& node = at_.node(scores);
      if (node.op != OpKind::kAdd && node.op != OpKind::kWhere) return true;
      const NodeId mask = scores.node;
      const bool read = node.op == OpKind::kAdd ? ReadBias(scores, w) : ReadChoice(scores, w);
      if (!read) return false;
      if (w.finite && !w.biases.empty()) {
        return Miss(mask, "adds to scores that are filled with a finite number");
      }
      w.nodes.push_back(mask);
    }
    return Miss(softmax, "has more masks than an attention may");
  }

  // Of a sum, the operand that leads to a product of queries and keys are the scores.
  bool ReadBias(Value& scores, Written& w) const {
    const Node& sum = at_.node(scores);
    for (size_t side = 0; side < 2; ++side) {
      const Value inner = sum.operands[side];
      if (at_.type(inner) != at_.type(scores) || !LeadsToProduct(inner)) continue;
      w.biases.push_back(sum.operands[1 - side]);
      scores = inner;
      return true;
    }
    return false;
  }

  // Through masks, caps and numbers, a few steps at most.
  bool LeadsToProduct(Value value, int steps = 6) const {
    value = at_.Unscaled(value, false).value;
    const Node& node = at_.node(value);
    if (node.op == OpKind::kMatMul) return true;
    if (steps == 0) return false;
    if (node.op == OpKind::kTanh) return LeadsToProduct(node.operands[0], steps - 1);
    if (node.op != OpKind::kAdd && node.op != OpKind::kWhere) return false;
    return std::any_of(node.operands.end() - 2, node.operands.end(), [&](Value operand) {
      return at_.type(operand) == at_.type(value) && LeadsToProduct(operand, steps - 1);
    });
  }

  // where(choice, scores, fill), or where(choice, fill, scores).
  bool ReadChoice(Value& scores, Written& w) {
    const NodeId at = scores.node;
    const Node& node = at_.node(scores);
    const bool drops = UniformConstant(at_.graph(), node.operands[1]).has_value();
    const Value kept = node.operands[drops ? 2 : 1], other = node.operands[drops ? 1 : 2];
    const auto fill = UniformConstant(at_.graph(), other);
    if (!fill || at_.type(kept) != at_.type(scores) || !LeadsToProduct(kept)) return false;
    if (w.choice.valid()) return Miss(at, "is a second choice of scores");
    // A row of which nothing counts is the mean of all when it is filled with a finite number.
    w.finite = *fill != -std::numeric_limits<double>::infinity();
    if (w.finite && !(*fill <= kFarBelow && KeepsSomeOfEachRow(node.operands[0], drops))) {
      return Miss(at, "fills with a finite number, which counts where nothing else does");
    }
    w.choice = node.operands[0];
    w.choice_drops = drops;
    scores = kept;
    return true;
  }

  // Known, and with an element along the last axis everywhere that counts.
  bool KeepsSomeOfEachRow(Value choice, bool drops) const {
    const Node& node = at_.node(choice);
    return node.op == OpKind::kConstant && CountsInEachRow(node.Tensor("value"), drops);
  }

  bool ReadProduct(Value scores, Written& w) {
    Raising::Scaled product = at_.Unscaled(scores, false);
    Absorb(product, w);
    if (at_.node(product.value).op == OpKind::kTanh) {  // c·tanh(x/c)
      w.softcap = w.scale;
      const NodeId cap = product.value.node;
      if (!(w.softcap > 0)) return false;
      w.nodes.push_back(cap);
      product = at_.Unscaled(at_.node(product.value).operands[0], false);
      Absorb(product, w);
    }
    const Node& dot = at_.node(product.value);
    if (dot.op != OpKind::kMatMul) return false;
    w.nodes.push_back(product.value.node);
    const Raising::Scaled q = at_.Unscaled(dot.operands[0], true);
    Raising::Scaled k = at_.Unscaled(dot.operands[1], true);
    Absorb(q, w);
    Absorb(k, w);
    w.q = q.value;
    const Node& turn = at_.node(k.value);
    if (turn.op != OpKind::kTranspose) {
      return Miss(product.value.node, "multiplies by keys that no transpose made");
    }
    w.turn = turn.Ints("perm");
    std::swap(w.turn[w.turn.size() - 2], w.turn.back());
    if (Alone(k.value)) {
      w.nodes.push_back(k.value.node);
      k = at_.Unscaled(turn.operands[0], true);
      Absorb(k, w);
      w.k = k.value;
    } else {
      w.k = turn.operands[0];
    }
    if (std::is_sorted(w.turn.begin(), w.turn.end())) w.turn.clear();
    return std::isfinite(w.scale);
  }

  bool Alone(Value value) const { return at_.uses().OnlyUser(value) >= 0; }

  static void Absorb(const Raising::Scaled& scaled, Written& w) {
    w.scale *= scaled.factor;
    w.nodes.insert(w.nodes.end(), scaled.nodes.begin(), scaled.nodes.end());
  }

  // Keys and values before they were repeated for the heads that share them:
  // [b,n,s,d] ─ reshape [b,n,1,s,d] ─ expand [b,n,g,s,d] ─ reshape [b,n·g,s,d].
  struct Repeated {
    Value value;
    int64_t groups = 1;
    std::vector<NodeId> nodes;
  };
  std::optional<Repeated> ReadRepeat(Value value) const {
    const Node& join = at_.node(value);
    if (join.op != OpKind::kReshape || at_.type(value).rank() != 4) return std::nullopt;
    const Value spread = join.operands[0];
    if (at_.node(spread).op != OpKind::kExpand || at_.type(spread).rank() != 5) return std::nullopt;
    const Value lifted = at_.node(spread).operands[0];
    if (at_.node(lifted).op != OpKind::kReshape) return std::nullopt;
    const Value base = at_.node(lifted).operands[0];
    const Shape &whole = at_.type(value).shape, &wide = at_.type(spread).shape;
    const Shape &few = at_.type(base).shape, &slim = at_.type(lifted).shape;
    if (few.size() != 4 || !few[1].is_static() || !wide[2].is_static()) return std::nullopt;
    const Dim groups = wide[2];
    if (slim != Shape{few[0], few[1], Dim(1), few[2], few[3]}) return std::nullopt;
    if (wide != Shape{few[0], few[1], groups, few[2], few[3]}) return std::nullopt;
    if (whole != Shape{few[0], few[1] * groups, few[2], few[3]}) return std::nullopt;
    Repeated out{.value = base, .groups = groups.value(), .nodes = {}};
    for (const Value step : {value, spread, lifted}) {
      if (!Alone(step)) break;
      out.nodes.push_back(step.node);
    }
    return out;
  }

  // Also where one head of keys and values is for all.
  void ReadGroups(Written& w) const {
    const Shape &q = at_.type(w.q).shape, &v = at_.type(w.v).shape;
    const bool heads = q.size() == 4 && v.size() == 4 && q[1].is_static() && q[1] != Dim(1);
    if (heads && v[1] == Dim(1) && KeyShape(w).size() == 4 && KeyShape(w)[1] == Dim(1)) {
      w.groups = q[1].value();
    }
    if (!w.turn.empty()) return;
    const auto keys = ReadRepeat(w.k), values = ReadRepeat(w.v);
    if (!keys || !values || keys->groups != values->groups) return;
    w.k = keys->value;
    w.v = values->value;
    w.groups = keys->groups;
    w.nodes.insert(w.nodes.end(), keys->nodes.begin(), keys->nodes.end());
    w.nodes.insert(w.nodes.end(), values->nodes.begin(), values->nodes.end());
  }

  // The shape of k as attention takes it.
  Shape KeyShape(const Written& w) const {
    const Shape& k = at_.type(w.k).shape;
    if (w.turn.empty()) return k;
    Shape turned;
    for (int64_t axis : w.turn) turned.push_back(k[static_cast<size_t>(axis)]);
    return turned;
  }

  // No broadcast among batches and heads, and heads of known number and width.
  bool Fits(NodeId softmax, const Written& w) {
    const Shape &scores = at_.type({softmax, 0}).shape, &q = at_.type(w.q).shape;
    const Shape &v = at_.type(w.v).shape, k = KeyShape(w);
    if (q.size() != scores.size() || k.size() != q.size() || v.size() != q.size()) {
      return Miss(softmax, "weighs operands of different ranks");
    }
    if (!q.back().is_static()) return Miss(softmax, "is over heads of unknown width");
    bool same = k[0] == scores[0] && v[0] == scores[0] && q[0] == scores[0];
    if (q.size() == 4) {
      if (!q[1].is_static()) return Miss(softmax, "is over heads of unknown number");
      const Dim shared(q[1].value() / w.groups);
      same = same && q[1] == scores[1] && k[1] == shared && v[1] == shared;
    }
    Shape made = q;
    made.back() = v.back();
    same = same && at_.type({w.nodes.front(), 0}).shape == made;
    return same || Miss(softmax, "stretches a batch or heads");
  }

  // One mask that is known to be the causal one needs no operand.
  void SettleMask(Written& w) const {
    if (w.biases.size() + (w.choice.valid() ? 1 : 0) != 1) return;
    const Value mask = w.choice.valid() ? w.choice : w.biases[0];
    const Shape &own = at_.type(mask).shape, &q = at_.type(w.q).shape, k = KeyShape(w);
    const Node& node = at_.node(mask);
    if (node.op != OpKind::kConstant || own.size() < 2) return;
    if (own[own.size() - 2] != q[q.size() - 2] || own.back() != k[k.size() - 2]) return;
    if (!IsCausal(node.Tensor("value"), w.choice_drops)) return;
    w.causal = true;
    w.choice = {};
    w.biases.clear();
  }

  // As attention takes it: [b,h,s_q,s_k].
  static Value Rank4(GraphBuilder& b, Value mask, int rank_of_scores) {
    Shape shape = b.type(mask).shape;
    if (rank_of_scores == 3) {  // one head
      if (shape.size() < 3) shape.insert(shape.begin(), 3 - shape.size(), Dim(1));
      shape.insert(shape.begin() + 1, Dim(1));
    } else {
      shape.insert(shape.begin(), 4 - shape.size(), Dim(1));
    }
    return shape == b.type(mask).shape ? mask : b.Reshape(mask, std::move(shape));
  }

  static Value Mask(GraphBuilder& b, const Written& w, int rank_of_scores) {
    Value keep = w.choice;
    if (w.biases.empty()) {
      if (w.choice_drops) keep = b.Unary(OpKind::kLogicalNot, keep);
      return Rank4(b, keep, rank_of_scores);
    }
    Value bias = w.biases[0];
    for (size_t i = 1; i < w.biases.size(); ++i) bias = b.Add(bias, w.biases[i]);
    if (keep.valid()) {
      const double infinity = std::numeric_limits<double>::infinity();
      const Value none = b.Scalar(b.type(bias).dtype, -infinity);
      bias = w.choice_drops ? b.Where(keep, none, bias) : b.Where(keep, bias, none);
    }
    return Rank4(b, bias, rank_of_scores);
  }

  std::vector<Attr> Attrs(const Written& w) const {
    const Shape& q = at_.type(w.q).shape;
    const int64_t heads = q.size() == 4 ? q[1].value() : 1, width = q.back().value();
    std::vector<Attr> attrs = {{"num_heads", heads}, {"head_dim", width}};
    if (w.groups > 1) attrs.push_back({"num_kv_heads", heads / w.groups});
    if (w.causal) attrs.push_back({"mask", std::string("causal")});
    if (!w.biases.empty()) {
      attrs.push_back({"mask", std::string("bias")});
    } else if (w.choice.valid()) {
      attrs.push_back({"mask", std::string("keep")});
    }
    // What is written in f32 is a rounding off the default.
    const double usual = 1 / std::sqrt(static_cast<double>(width));
    if (std::abs(w.scale - usual) > 0x1p-22 * usual) attrs.push_back({"scale", w.scale});
    if (w.softcap > 0) attrs.push_back({"softcap", w.softcap});
    return attrs;
  }

  std::vector<TensorType> OperandTypes(const Written& w) const {
    const TensorType& q = at_.type(w.q);
    std::vector<TensorType> types = {q, {q.dtype, KeyShape(w)}, at_.type(w.v)};
    if (w.biases.empty() && !w.choice.valid()) return types;
    Graph probe;
    GraphBuilder b(probe);
    Written mask;
    for (const Value bias : w.biases) mask.biases.push_back(b.Input("", at_.type(bias)));
    if (w.choice.valid()) mask.choice = b.Input("", at_.type(w.choice));
    types.push_back(b.type(Mask(b, mask, q.rank())));
    return types;
  }

  void Emit(const Written& w) {
    const NodeId root = w.nodes.front();
    const std::vector<Attr> attrs = Attrs(w);
    std::vector<Value> operands = {w.q, w.k, w.v};
    operands.insert(operands.end(), w.biases.begin(), w.biases.end());
    if (w.choice.valid()) operands.push_back(w.choice);
    if (at_.Refused(OpKind::kAttention, OperandTypes(w), attrs, root)) return;
    if (!at_.Free(w.nodes, operands, "attention")) return;
    const int rank = at_.type(w.q).rank();
    GraphBuilder& b = at_.Begin(
        w.nodes, Cat(Label(at_.graph(), root), " attends with ", std::get<int64_t>(attrs[0].value),
                     " heads of ", std::get<int64_t>(attrs[1].value)));
    operands = {w.q, w.turn.empty() ? w.k : b.Transpose(w.k, w.turn), w.v};
    if (!w.biases.empty() || w.choice.valid()) operands.push_back(Mask(b, w, rank));
    at_.Replace(root, b.Emit(OpKind::kAttention, std::move(operands), attrs));
  }

  Raising at_;
};

}  // namespace

absl::Status RaiseAttention(Graph& graph, PassContext& context) {
  return Attentions(graph, context).Run();
}

extern const Pass kRaiseAttentionPass = {
    .name = "raise_attention",
    .run = RaiseAttention,
    .needs = {OpKind::kSoftmax},
    .gate = "Attention",
    .fusion = true,
    .after = "raise_rope",
    .why = "Before blocks, which are made of attentions",
};

}  // namespace rlx::passes
