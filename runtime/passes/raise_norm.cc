// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/raise_norm.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/raise.h"

namespace rlx::passes {
namespace {

using Axes = std::vector<int64_t>;

// The mean of x over axes that stay with extent 1.
struct Mean {
  Value x;
  Axes axes;
  std::vector<NodeId> nodes;
};

// One norm, as far as it was read.
struct Norm {
  Value x, mean;    // mean: only where it is taken off
  Value numerator;  // what is divided: x, or x less its mean
  Value last;       // read so far
  Value gamma, beta;
  Axes axes;
  double eps = 0;
  bool whole = false;         // nothing can follow
  std::vector<NodeId> nodes;  // in no order
  Shape tail;                 // the extents normalised; empty where they are not the last ones
};

class Norms {
 public:
  Norms(Graph& graph, PassContext& context, const WrittenNorm& kind)
      : kind_(kind), at_(graph, context, kind.rule) {}

  absl::Status Run() {
    for (NodeId id = 0; id < at_.size(); ++id) {
      const OpKind op = at_.graph().node(id).op;
      if ((op == OpKind::kSqrt || op == OpKind::kRsqrt) && !at_.Taken(id)) Try(id);
    }
    return at_.Finish();
  }

 private:
  void Try(NodeId root) {
    Norm norm;
    if (!ReadDeviation(root, norm)) return;
    const TensorType& x = at_.type(norm.x);
    if (!IsFloat(x.dtype)) return;
    const int64_t first = norm.axes.front(), count = static_cast<int64_t>(norm.axes.size());
    if (norm.axes.back() == x.rank() - 1 && first == x.rank() - count) {
      norm.tail.assign(x.shape.begin() + first, x.shape.end());
    }
    if (!ReadQuotient(root, norm)) {
      return at_.Miss(Reason::kNormOtherForm, root,
                      Cat(Label(at_.graph(), root), " divides something else than ",
                          Label(at_.graph(), norm.numerator.node)));
    }
    if (norm.tail.empty()) {
      return at_.Miss(Reason::kNormOtherForm, root,
                      Cat(Label(at_.graph(), root), " is over axes that are not the last ones"));
    }
    ReadAffine(norm);
    Emit(norm);
  }

  // √(mean(numerator²) + eps), or one over it.
  bool ReadDeviation(NodeId root, Norm& norm) const {
    const Value sum = at_.graph().node(root).operands[0];
    if (at_.node(sum).op != OpKind::kAdd) return false;
    for (size_t side = 0; side < 2; ++side) {
      const Value variance = at_.node(sum).operands[1 - side];
      const std::optional<double> eps = UniformConstant(at_.graph(), at_.node(sum).operands[side]);
      if (!eps || !(*eps >= 0) || !std::isfinite(*eps)) continue;
      if (at_.type(variance) != at_.type(sum)) continue;
      const std::optional<Mean> mean = ReadMean(variance);
      if (!mean) continue;
      norm.numerator = ReadSquare(mean->x);
      if (!norm.numerator.valid()) continue;
      norm.axes = mean->axes;
      norm.eps = *eps;
      norm.nodes = {root, sum.node, mean->x.node};
      norm.nodes.insert(norm.nodes.end(), mean->nodes.begin(), mean->nodes.end());
      return ReadCentre(norm);
    }
    return false;
  }

  bool ReadCentre(Norm& norm) const {
    norm.x = norm.numerator;
    if (!kind_.centred) return true;
    const Node& centred = at_.node(norm.numerator);
    if (centred.op != OpKind::kSub) return false;
    const std::optional<Mean> mean = ReadMean(centred.operands[1]);
    if (!mean || mean->x != centred.operands[0] || mean->axes != norm.axes) return false;
    norm.x = mean->x;
    norm.mean = centred.operands[1];
    norm.nodes.push_back(norm.numerator.node);
    norm.nodes.insert(norm.nodes.end(), mean->nodes.begin(), mean->nodes.end());
    return true;
  }

  // What a product with itself or a second power is the square of; invalid when it is none.
  Value ReadSquare(Value value) const {
    const Node& node = at_.node(value);
    const bool product = node.op == OpKind::kMul && node.operands[0] == node.operands[1];
    const bool power =
        node.op == OpKind::kPow && UniformConstant(at_.graph(), node.operands[1]) == 2.0;
    if (!product && !power) return {};
    return at_.type(node.operands[0]) == at_.type(value) ? node.operands[0] : Value{};
  }

  Axes AxesOf(const Node& reduce) const {
    Axes axes = reduce.Ints("axes");
    if (!axes.empty()) return axes;
    axes.resize(at_.type(reduce.operands[0]).shape.size());
    std::iota(axes.begin(), axes.end(), 0);
    return axes;
  }

  // A reduce_mean, or a sum that is divided by how many it sums.
  std::optional<Mean> ReadMean(Value value) const {
    const Node& node = at_.node(value);
    if (node.op == OpKind::kReduceMean) {
      if (!node.Bool("keep_dims") || at_.type(value).rank() == 0) return std::nullopt;
      return Mean{node.operands[0], AxesOf(node), {value.node}};
    }
    const bool product = node.op == OpKind::kMul;
    if (!product && node.op != OpKind::kDiv) return std::nullopt;
    for (size_t side = product ? 0 : 1; side < 2; ++side) {
      const std::optional<double> by = UniformConstant(at_.graph(), node.operands[side]);
      const Value inner = node.operands[1 - side];
      const Node& sum = at_.node(inner);
      if (!by || sum.op != OpKind::kReduceSum || !sum.Bool("keep_dims")) continue;
      if (at_.type(inner) != at_.type(value) || at_.type(value).rank() == 0) continue;
      Mean mean{sum.operands[0], AxesOf(sum), {value.node, inner.node}};
      const double count = CountOf(mean);
      const double share = product ? *by * count : *by / count;
      if (std::abs(share - 1) <= 1e-6) return mean;
    }
    return std::nullopt;
  }

  // How many elements a mean is of; 0 when a size decides it.
  double CountOf(const Mean& mean) const {
    double count = 1;
    for (int64_t axis : mean.axes) {
      const Dim& extent = at_.type(mean.x).shape[static_cast<size_t>(axis)];
      count *= extent.is_static() ? static_cast<double>(extent.value()) : 0;
    }
    return count;
  }

  // From the deviation to the numerator divided by it, and further where gamma or the mean come in
  // on the way.
  bool ReadQuotient(NodeId root, Norm& norm) const {
    Value inverse{root, 0};
    if (at_.graph().node(root).op == OpKind::kSqrt) {
      const NodeId quotient = at_.UserWhere(inverse, [&](const Node& node) {
        return node.op == OpKind::kDiv && node.operands[1] == inverse;
      });
      if (quotient < 0) return false;
      const Value above = at_.graph().node(quotient).operands[0];
      inverse = {quotient, 0};
      if (above == norm.numerator) return Step(norm, quotient);
      if (UniformConstant(at_.graph(), above) != 1.0) return false;
      norm.nodes.push_back(quotient);
    }
    if (Step(norm, at_.UserWith(inverse, OpKind::kMul, norm.numerator))) return true;
    const NodeId scaled = at_.UserWhere(inverse, [&](const Node& node) {
      if (node.op != OpKind::kMul) return false;
      const Value other = Other(node, inverse);
      return other != norm.x && other != norm.mean && IsRowOf(at_.type(other), norm.tail);
    });
    if (scaled >= 0) {
      norm.gamma = Other(at_.graph().node(scaled), inverse);
      norm.nodes.push_back(scaled);
      inverse = {scaled, 0};
      if (Step(norm, at_.UserWith(inverse, OpKind::kMul, norm.numerator))) return true;
    }
    return kind_.centred && ReadLateMean(inverse, norm);
  }

  // x·inverse + (beta - mean·inverse), or x·inverse - mean·inverse.
  bool ReadLateMean(Value inverse, Norm& norm) const {
    const NodeId left = at_.UserWith(inverse, OpKind::kMul, norm.x);
    const NodeId right = at_.UserWith(inverse, OpKind::kMul, norm.mean);
    if (left < 0 || right < 0) return false;
    const NodeId rest = at_.UserWhere({right, 0}, [&](const Node& node) {
      return node.op == OpKind::kSub && node.operands[1] == Value{right, 0};
    });
    if (rest < 0) return false;
    norm.nodes.insert(norm.nodes.end(), {left, right});
    const Value above = at_.graph().node(rest).operands[0];
    if (above == Value{left, 0}) return Step(norm, rest);
    if (!IsRowOf(at_.type(above), norm.tail)) return false;
    norm.beta = above;
    norm.nodes.push_back(rest);
    norm.whole = true;
    return Step(norm, at_.UserWith({rest, 0}, OpKind::kAdd, {left, 0}));
  }

  static Value Other(const Node& node, Value operand) {
    return node.operands[0] == operand ? node.operands[1] : node.operands[0];
  }

  // On to a node of the type of x.
  bool Step(Norm& norm, NodeId next) const {
    if (next < 0 || at_.type({next, 0}) != at_.type(norm.x)) return false;
    norm.nodes.push_back(next);
    norm.last = {next, 0};
    return true;
  }

  // A product with gamma and a sum with beta, where they alone read what was read so far.
  void ReadAffine(Norm& norm) const {
    if (norm.whole) return;
    if (!norm.gamma.valid()) norm.gamma = ReadRow(norm, OpKind::kMul);
    norm.beta = ReadRow(norm, OpKind::kAdd);
  }

  Value ReadRow(Norm& norm, OpKind op) const {
    const NodeId user = at_.uses().OnlyUser(norm.last);
    if (user < 0 || at_.graph().node(user).op != op) return {};
    const Value row = Other(at_.graph().node(user), norm.last);
    if (!IsRowOf(at_.type(row), norm.tail) || !Step(norm, user)) return {};
    return row;
  }

  // gamma or beta of exactly the extents normalised; `otherwise` where there is none.
  static Value Row(GraphBuilder& b, Value row, const TensorType& type, double otherwise) {
    if (!row.valid()) return b.Expand(b.Scalar(type.dtype, otherwise), type.shape);
    return b.type(row) == type ? row : b.Reshape(row, type.shape);
  }

  void Emit(Norm& norm) {
    const Graph& graph = at_.graph();
    const TensorType row{at_.type(norm.x).dtype, norm.tail};
    const bool beta = kind_.centred || norm.beta.valid();
    const bool made_up = !norm.gamma.valid() || (beta && !norm.beta.valid());
    if (made_up && !row.is_static()) return;  // ones and zeros of a known number alone
    const NodeId root = norm.last.node;
    std::iter_swap(norm.nodes.begin(), std::ranges::find(norm.nodes, root));
    std::vector<Value> operands = {norm.x};
    for (const Value v : {norm.gamma, norm.beta}) {
      if (v.valid()) operands.push_back(v);
    }
    const std::vector<Attr> attrs = {{"axis", norm.axes.front()}, {"eps", norm.eps}};
    std::vector<TensorType> types = {at_.type(norm.x), row};
    if (beta) types.push_back(row);
    if (at_.Refused(kind_.norm, types, attrs, root)) return;
    if (!at_.Free(norm.nodes, operands, Name(kind_.norm))) return;
    const Value x = norm.x;
    GraphBuilder& b = at_.Begin(
        norm.nodes, Cat(Label(graph, root), " ends a ", Name(kind_.norm), " of ",
                        Label(graph, x.node), norm.gamma.valid() ? "" : " without a scale"));
    operands = {x, Row(b, norm.gamma, row, 1)};
    if (beta) operands.push_back(Row(b, norm.beta, row, 0));
    at_.Replace(root, b.Emit(kind_.norm, std::move(operands), attrs));
  }

  const WrittenNorm kind_;
  Raising at_;
};

}  // namespace

absl::Status RaiseNorm(Graph& graph, PassContext& context, const WrittenNorm& kind) {
  return Norms(graph, context, kind).Run();
}

}  // namespace rlx::passes
