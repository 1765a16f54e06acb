// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <map>

#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/raise.h"

//   x ─┬─ sums and products with numbers ─ erf | tanh | sigmoid | 1/(1 + e^·) ─┐
//      └────────────────────────────────── sums and products with numbers ──────┘
//        =>  gelu(x), gelu_tanh(x), silu(x) or sigmoid(x)
//
// Exporters write these in a dozen ways: x/√2 or x·0.7071, the half first or last, x³ as a power or
// as two products, 1 + 0.0447·x² taken out. All of them are polynomials in x and in one bent value
// t, which is erf or tanh of a polynomial in x; written out, each function is one such pair. A
// sigmoid is (1 + tanh(·/2))/2, so that silu, like the gelus, is x·(1 + t)/2.
namespace rlx::passes {
namespace {

constexpr Rule kRule("raise_activation");

constexpr int kMostNodes = 16, kMostPlaces = 12, kMostSteps = 6;

// The sum of coefficients times xⁱ·tʲ, by (i, j).
using Powers = std::pair<int, int>;
using Polynomial = std::map<Powers, double>;
constexpr int kMostOfX = 4, kMostOfT = 1;

Polynomial Number(double value) { return value == 0 ? Polynomial{} : Polynomial{{{0, 0}, value}}; }

Polynomial Sum(const Polynomial& a, const Polynomial& b, double sign) {
  Polynomial out = a;
  for (const auto& [powers, c] : b) {
    if ((out[powers] += sign * c) == 0) out.erase(powers);
  }
  return out;
}

std::optional<Polynomial> Product(const Polynomial& a, const Polynomial& b) {
  Polynomial out;
  for (const auto& [p, c] : a) {
    for (const auto& [q, d] : b) {
      const Powers powers{p.first + q.first, p.second + q.second};
      if (powers.first > kMostOfX || powers.second > kMostOfT) return std::nullopt;
      if ((out[powers] += c * d) == 0) out.erase(powers);
    }
  }
  return out;
}

// How far a coefficient may be off: a few roundings of the type that it is written in.
double Slack(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return 0x1p-40;
    case DType::kF32:
      return 0x1p-20;
    case DType::kF16:
      return 0x1p-9;
    case DType::kBF16:
      return 0x1p-6;
    default:
      return 0;
  }
}

bool Same(const Polynomial& a, const Polynomial& b, double slack) {
  return std::ranges::equal(a, b, [&](const auto& p, const auto& q) {
    return p.first == q.first && std::abs(p.second - q.second) <= slack * std::abs(q.second);
  });
}

constexpr double kRootTwoOverPi = M_2_SQRTPI * M_SQRT1_2;

struct Known {
  OpKind op;
  OpKind bend;  // erf or tanh
  Polynomial inside, outside;
};
const std::vector<Known>& KnownFunctions() {
  static const Polynomial half_x_one_plus_t = {{{1, 0}, 0.5}, {{1, 1}, 0.5}};
  static const std::vector<Known> known = {
      {OpKind::kGelu, OpKind::kErf, {{{1, 0}, M_SQRT1_2}}, half_x_one_plus_t},
      {OpKind::kGeluTanh,
       OpKind::kTanh,
       {{{1, 0}, kRootTwoOverPi}, {{3, 0}, 0.044715 * kRootTwoOverPi}},
       half_x_one_plus_t},
      {OpKind::kSilu, OpKind::kTanh, {{{1, 0}, 0.5}}, half_x_one_plus_t},
      {OpKind::kSigmoid, OpKind::kTanh, {{{1, 0}, 0.5}}, {{{0, 0}, 0.5}, {{0, 1}, 0.5}}}};
  return known;
}

// What values are as functions of x.
class Function {
 public:
  Function(const Graph& graph, Value x) : graph_(graph), x_(x) {}

  // None where a value depends on more than x, in another way, or by too many nodes.
  std::optional<Polynomial> Read(Value value) {
    if (value == x_) return Polynomial{{{1, 0}, 1}};
    if (const auto number = UniformConstant(graph_, value)) return Number(*number);
    const auto done = read_.find(value);
    if (done != read_.end()) return done->second;
    if (static_cast<int>(read_.size()) == kMostNodes) return std::nullopt;
    read_[value] = std::nullopt;
    if (graph_.type(value) != graph_.type(x_)) return std::nullopt;
    return read_[value] = ReadNode(graph_.node(value.node));
  }

  OpKind bend() const { return bend_; }
  const Polynomial& inside() const { return inside_; }

  // The nodes that make `value` of x, itself first.
  std::vector<NodeId> NodesOf(Value value) const {
    std::vector<NodeId> nodes = {value.node};
    for (size_t i = 0; i < nodes.size(); ++i) {
      for (const Value operand : graph_.node(nodes[i]).operands) {
        const bool inner = read_.contains(operand) && std::ranges::count(nodes, operand.node) == 0;
        if (inner) nodes.push_back(operand.node);
      }
    }
    return nodes;
  }

 private:
  std::optional<Polynomial> ReadNode(const Node& node) {
    const auto read = [&](size_t i) { return Read(node.operands[i]); };
    switch (node.op) {
      case OpKind::kAdd:
      case OpKind::kSub:
      case OpKind::kMul: {
        const auto a = read(0), b = read(1);
        if (!a || !b) return std::nullopt;
        if (node.op == OpKind::kMul) return Product(*a, *b);
        return Sum(*a, *b, node.op == OpKind::kAdd ? 1 : -1);
      }
      case OpKind::kNeg:
        return Times(read(0), -1);
      case OpKind::kDiv:
        return ReadQuotient(node);
      case OpKind::kPow: {
        const auto base = read(0);
        const auto exponent = UniformConstant(graph_, node.operands[1]);
        if (!base || (exponent != 2.0 && exponent != 3.0)) return std::nullopt;
        const auto square = Product(*base, *base);
        return square && exponent == 3.0 ? Product(*square, *base) : square;
      }
      case OpKind::kErf:
      case OpKind::kTanh:
        return Bend(node.op, read(0));
      case OpKind::kSigmoid:
        return Sigmoid(read(0), 1);
      default:
        return std::nullopt;
    }
  }

  static std::optional<Polynomial> Times(const std::optional<Polynomial>& a, double factor) {
    return a ? Product(*a, Number(factor)) : std::nullopt;
  }

  // By a number, or by 1 + e^p: that is times the sigmoid of -p.
  std::optional<Polynomial> ReadQuotient(const Node& node) {
    const auto above = Read(node.operands[0]);
    if (const auto number = UniformConstant(graph_, node.operands[1]))
      return *number != 0 ? Times(above, 1 / *number) : std::nullopt;
    const Node& sum = graph_.node(node.operands[1].node);
    if (!above || sum.op != OpKind::kAdd) return std::nullopt;
    for (size_t side = 0; side < 2; ++side) {
      const Node& power = graph_.node(sum.operands[side].node);
      if (power.op != OpKind::kExp) continue;
      if (UniformConstant(graph_, sum.operands[1 - side]) != 1.0) continue;
      const auto sigmoid = Sigmoid(Read(power.operands[0]), -1);
      if (!sigmoid) return std::nullopt;
      read_[node.operands[1]] = read_[sum.operands[side]] = std::nullopt;  // nodes of this function
      return Product(*above, *sigmoid);
    }
    return std::nullopt;
  }

  std::optional<Polynomial> Sigmoid(const std::optional<Polynomial>& of, double sign) {
    const auto bent = Bend(OpKind::kTanh, Times(of, sign / 2));
    return bent ? std::optional(Sum(Number(0.5), *Times(bent, 0.5), 1)) : std::nullopt;
  }

  // t itself. There is one in a function.
  std::optional<Polynomial> Bend(OpKind op, const std::optional<Polynomial>& of) {
    if (!of || of->empty()) return std::nullopt;
    for (const auto& [powers, c] : *of) {
      if (powers.second != 0) return std::nullopt;
    }
    if (!inside_.empty() && (op != bend_ || inside_ != *of)) return std::nullopt;
    bend_ = op;
    inside_ = *of;
    return Polynomial{{{0, 1}, 1}};
  }

  const Graph& graph_;
  const Value x_;
  std::map<Value, std::optional<Polynomial>> read_;
  OpKind bend_ = OpKind::kErf;
  Polynomial inside_;
};

bool Bends(OpKind op) {
  return op == OpKind::kErf || op == OpKind::kTanh || op == OpKind::kSigmoid || op == OpKind::kExp;
}

class Activations {
 public:
  Activations(Graph& graph, PassContext& context)
      : at_(graph, context, kRule), fixed_(WeightOnly(graph)) {}

  absl::Status Run() {
    for (NodeId id = 0; id < at_.size(); ++id) {
      const Node& node = at_.graph().node(id);
      if (Bends(node.op) && IsFloat(node.results[0].dtype) && !fixed_[id] && !at_.Taken(id)) {
        Try(id);
      }
    }
    return at_.Finish();
  }

 private:
  void Try(NodeId bend) {
    NodeId almost = -1;  // x·(1 + t)/2 with another t
    for (const Value x : PlacesOfX(bend)) {
      if (Raise(bend, x, almost)) return;
    }
    if (almost < 0) return;
    at_.Miss(Reason::kActivationOtherForm, almost,
             Cat(Label(at_.graph(), almost), " gates by another function than gelu and silu do"));
  }

  // What the bent function may be a function of: what it reads, and what that is made of.
  std::vector<Value> PlacesOfX(NodeId bend) const {
    std::vector<Value> places = {at_.graph().node(bend).operands[0]};
    for (size_t i = 0; i < places.size(); ++i) {
      const Node& node = at_.node(places[i]);
      if (!IsPolynomial(node.op)) continue;
      for (const Value operand : node.operands) {
        const bool known = std::ranges::count(places, operand) > 0 ||
                           UniformConstant(at_.graph(), operand).has_value();
        if (!known && static_cast<int>(places.size()) < kMostPlaces) places.push_back(operand);
      }
    }
    return places;
  }

  static bool IsPolynomial(OpKind op) {
    return op == OpKind::kAdd || op == OpKind::kSub || op == OpKind::kMul || op == OpKind::kDiv ||
           op == OpKind::kNeg || op == OpKind::kPow;
  }

  // Follows the readers of the bent value up to the last one that is a function we know.
  bool Raise(NodeId bend, Value x, NodeId& almost) {
    Function function(at_.graph(), x);
    const double slack = Slack(at_.type(x).dtype);
    std::optional<OpKind> op;
    NodeId root = -1;
    NodeId at = bend;
    for (int step = 0; step < kMostSteps && at >= 0; ++step) {
      if (const auto outside = function.Read({at, 0})) {
        for (const Known& known : KnownFunctions()) {
          if (!Same(*outside, known.outside, slack)) continue;
          const bool same =
              known.bend == function.bend() && Same(function.inside(), known.inside, slack);
          if (same && at_.graph().node(at).op != known.op) {
            op = known.op;
            root = at;
          } else if (!same && known.outside.contains({1, 1})) {
            almost = at;
          }
        }
      }
      at = at_.UserWhere({at, 0}, [](const Node& node) { return IsPolynomial(node.op); });
    }
    return op && Replace(root, x, *op, function.NodesOf({root, 0}));
  }

  bool Replace(NodeId root, Value x, OpKind op, const std::vector<NodeId>& nodes) {
    if (at_.Refused(op, {at_.type(x)}, {}, root) || !at_.Free(nodes, {x}, Name(op))) return true;
    GraphBuilder& b = at_.Begin(
        nodes, Cat(Label(at_.graph(), root), " is ", Name(op), " of ", Label(at_.graph(), x.node)));
    at_.Replace(root, b.Unary(op, x));
    return true;
  }

  Raising at_;
  const std::vector<bool> fixed_;
};

}  // namespace

absl::Status RaiseActivation(Graph& graph, PassContext& context) {
  return Activations(graph, context).Run();
}

extern const Pass kRaiseActivationPass = {
    .name = "raise_activation",
    .run = RaiseActivation,
    .needs = {OpKind::kConstant, OpKind::kSigmoid},
    .gate = "Activation",
    .fusion = true,
    .after = "raise_rms_norm",
    .why = "Before every pattern with an activation in it, after folding has made its numbers",
};

}  // namespace rlx::passes
