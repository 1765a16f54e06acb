// SPDX-License-Identifier: Apache-2.0
// Steps of one op.
#include <algorithm>
#include <cmath>

#include "runtime/base/check.h"
#include "tests/support/random_draft.h"

namespace rlx::test {
namespace {

void UnaryStep(Draft& g) {
  const auto [x, bound] = g.Any();
  switch (g.Draw(0, 5)) {
    case 0:
      g.Keep(g.b.Unary(OpKind::kExp, g.b.Unary(OpKind::kNeg, g.b.Unary(OpKind::kAbs, x))), 1);
      break;
    case 1:  // a root of what is not near 0
      g.Keep(g.b.Unary(g.Pick({OpKind::kSqrt, OpKind::kRsqrt, OpKind::kLog}),
                       g.b.Add(g.b.Mul(x, x), g.Scalar(0.5))),
             bound + 1);
      break;
    case 2:
      g.Keep(g.b.Unary(g.Pick({OpKind::kSin, OpKind::kCos, OpKind::kAtan, OpKind::kErf}), x), 2);
      break;
    case 3:  // rounding looks at inputs alone, where both sides see the same number
      if (g.options.smooth) return;
      g.Keep(g.b.Unary(g.Pick({OpKind::kRound, OpKind::kFloor, OpKind::kCeil}), g.Leaf()), 1);
      break;
    default:
      g.Keep(g.Activation(x), bound);
  }
}

void BinaryStep(Draft& g) {
  const auto [x, x_bound] = g.Any();
  const auto [y, y_bound] = g.Operand(x);
  const bool swap = g.Flip();
  const Value a = swap ? y : x, b = swap ? x : y;
  switch (g.Draw(0, 4)) {
    case 0:
      g.Keep(g.b.Add(a, b), x_bound + y_bound);
      break;
    case 1:
      g.Keep(g.b.Sub(a, b), x_bound + y_bound);
      break;
    case 2:
      g.Keep(g.b.Mul(a, b), x_bound * y_bound);
      break;
    case 3:
      g.Keep(g.b.Emit(g.Pick({OpKind::kMax, OpKind::kMin}), {a, b}), std::max(x_bound, y_bound));
      break;
    default:  // by something around 1
      g.Keep(g.b.Div(a, g.b.Add(g.b.Unary(OpKind::kAbs, b), g.Scalar(1))), x_bound + y_bound);
  }
}

void MatMulStep(Draft& g) {
  const auto item = g.AnyOfRank(2);
  if (item && g.LastExtent(item->value) > 0) g.Keep(g.Linear(*item, g.Draw(1, 17), false));
}

void SoftmaxStep(Draft& g) {
  const auto item = g.AnyOfRank(1);
  if (item) g.Keep(g.b.Softmax(item->value, g.Draw(-g.b.type(item->value).rank(), -1)), 1);
}

void NormStep(Draft& g) {
  const auto item = g.AnyOfRank(2);
  if (item && g.LastExtent(item->value) > 1) g.Keep(g.Norm(item->value), 4);
}

void TransposeStep(Draft& g) {
  const auto [x, bound] = g.Any();
  std::vector<int64_t> perm;
  for (int axis = 0; axis < g.b.type(x).rank(); ++axis) {
    perm.push_back(axis);
    std::swap(perm.back(), perm[static_cast<size_t>(g.Draw(0, axis))]);
  }
  g.Keep(g.b.Transpose(x, std::move(perm)), bound);
}

void ReshapeStep(Draft& g) {
  const auto item = g.AnyOfRank(2);
  if (!item) return;
  const Shape shape = g.ShapeOf(item->value);
  Shape to(shape.begin() + 1, shape.end());
  if (g.Flip())
    to = {-1};
  else if (g.Flip())
    to[0] = -1;
  else
    to[0] = shape[0] * shape[1];
  g.Keep(g.b.Reshape(item->value, std::move(to)), item->bound);
}

void NarrowStep(Draft& g) {
  const auto [x, bound] = g.Any();
  for (int axis = 0; axis < g.b.type(x).rank(); ++axis) {
    const Dim dim = g.ShapeOf(x)[axis];
    if (!dim.is_static() || dim.value() < 2) continue;
    const int64_t start = g.Draw(0, dim.value() - 2);
    g.Keep(g.b.Narrow(x, axis, start, g.Draw(1, dim.value() - 1 - start)), bound);
    return;
  }
}

void ConcatStep(Draft& g) {
  const auto item = g.AnyOfRank(1);
  if (!item) return;
  const Draft::Item other = g.Operand(item->value);
  const bool same = g.ShapeOf(other.value) == g.ShapeOf(item->value);
  g.Keep(g.b.Concat({item->value, same ? other.value : item->value},
                    g.Draw(0, g.b.type(item->value).rank() - 1)),
         std::max(item->bound, other.bound));
}

void ExpandStep(Draft& g) {
  const auto [x, bound] = g.Any();
  if (g.b.type(x).rank() > 3) return;
  Shape shape = g.ShapeOf(x);
  shape.insert(shape.begin(), g.Draw(1, 3));
  g.Keep(g.b.Expand(x, std::move(shape)), bound);
}

// Over the last axis: with a weight either way round, or batched with a value of the same shape.
void DotGeneralStep(Draft& g) {
  const Draft::Item x = g.Sequence();
  const int64_t k = g.LastExtent(x.value), last = g.b.type(x.value).rank() - 1;
  const auto dot = [&](Value rhs, std::vector<int64_t> axes, std::vector<int64_t> batch) {
    return g.b.Emit(OpKind::kDotGeneral, {x.value, rhs},
                    {{"lhs_contracting", std::vector<int64_t>{last}},
                     {"rhs_contracting", std::move(axes)},
                     {"lhs_batch", batch},
                     {"rhs_batch", batch}});
  };
  const double bound = std::sqrt(k) * x.bound + 1;
  switch (g.Draw(0, 2)) {
    case 0:
      g.Keep(dot(g.Param({g.Draw(1, 9), k}), {1}, {}), bound);
      break;
    case 1:
      g.Keep(dot(g.Param({g.Draw(1, 3), k, g.Draw(1, 4)}), {1}, {}), bound);
      break;
    default:
      g.Keep(dot(x.value, {last}, {0}), bound * x.bound);
  }
}

// A value that is known when the graph is compiled.
void ConstantStep(Draft& g) {
  const Value a = g.Scalar(static_cast<double>(g.Draw(-4, 4)) / 4);
  const Value known = g.b.Unary(OpKind::kTanh, g.b.Add(a, g.Scalar(0.5)));
  const auto [x, bound] = g.Any();
  g.Keep(g.b.Add(x, known), bound + 1);
}

void ReduceStep(Draft& g) {
  const auto item = g.AnyOfRank(1);
  if (!item) return;
  const int64_t rank = g.b.type(item->value).rank();
  std::vector<int64_t> axes = {g.Draw(-rank, -1)};
  if (rank > 1 && g.Flip()) axes = {0, rank - 1};
  const OpKind op =
      g.Pick({OpKind::kReduceMean, OpKind::kReduceSum, OpKind::kReduceMax, OpKind::kReduceMin});
  g.Keep(g.b.Reduce(op, item->value, std::move(axes), g.Flip()),
         item->bound * (op == OpKind::kReduceSum ? 20 : 1));
}

void CumsumStep(Draft& g) {
  const auto item = g.AnyOfRank(1);
  if (!item) return;
  const Value sum =
      g.b.Emit(OpKind::kCumsum, {item->value},
               {{"axis", g.Draw(-g.b.type(item->value).rank(), -1)}, {"exclusive", g.Flip()}});
  g.Keep(sum, 10 * item->bound);
}

void WhereStep(Draft& g) {
  const Value leaf = g.Leaf();
  const Value condition =
      g.b.Emit(g.Pick({OpKind::kLt, OpKind::kGe, OpKind::kNe}), {leaf, g.Scalar(0.25)});
  const Draft::Item other = g.Operand(leaf);
  g.Keep(g.b.Where(condition, leaf, other.value), std::max(1.0, other.bound));
}

void GatherStep(Draft& g) {
  // RandomInputs gives indices from 0 to 2.
  const Value table = g.Param({g.Draw(3, 9), g.Draw(1, 8)});
  const TensorType indices = {g.Pick({DType::kI64, DType::kI32}), {g.Draw(1, 5), g.Draw(1, 3)}};
  g.Keep(g.b.Gather(table, g.Input(indices)), 1);
}

void TopKStep(Draft& g) {
  const Value leaf = g.Leaf();
  if (g.LastExtent(leaf) < 2) return;
  const auto results =
      g.b.EmitAll(OpKind::kTopK, {leaf}, {{"k", g.Draw(1, g.LastExtent(leaf))}, {"axis", -1}});
  g.Keep(results[0], 1);
  if (g.Flip()) g.extra_outputs.push_back(results[1]);
}

void RegionStep(Draft& g) {
  const auto [x, bound] = g.Any();
  const Draft::Item other = g.Operand(x);
  Graph body;
  GraphBuilder b(body);
  const Value p = b.Input("", g.b.type(x)), q = b.Input("", g.b.type(other.value));
  const Value sum = b.Add(p, q);
  b.Output("", b.Unary(OpKind::kSigmoid, b.Mul(sum, p)));
  b.Output("", sum);
  const auto results = g.b.EmitAll(OpKind::kElementwiseRegion, {x, other.value}, {},
                                   {std::make_shared<const Graph>(std::move(body))});
  if (results.empty()) return;
  g.Keep(results[0], 1);
  g.Keep(results[1], bound + other.bound);
}

void AttentionStep(Draft& g) {
  const Draft::Item x = g.Sequence();
  const int64_t width = g.LastExtent(x.value);
  if (width % 4 != 0) return;
  std::vector<Attr> attrs = {{"num_heads", int64_t{2}}, {"head_dim", width / 2}};
  if (g.Flip()) attrs.push_back({"mask", std::string("causal")});
  const Draft::Item q = g.Linear(x, width, false), k = g.Linear(x, width, g.Flip());
  const Draft::Item v = g.Linear(x, width, g.Flip());
  g.Keep(g.b.Emit(OpKind::kAttention, {q.value, k.value, v.value}, std::move(attrs)), v.bound);
}

}  // namespace

void CastStep(Draft& g) {
  const auto [x, bound] = g.Any();
  const Value wide = g.b.Cast(x, DType::kF64);
  g.Keep(g.b.Cast(g.Flip() ? g.b.Unary(OpKind::kTanh, wide) : wide, g.options.dtype), bound);
}

void IfStep(Draft& g) {
  const auto [x, bound] = g.Any();
  const Value flag = g.Input(TensorType{DType::kBool, {}});
  const auto branch = [&](bool first) {
    Graph graph;
    GraphBuilder b(graph);
    const Value in = b.Input("", g.b.type(x));
    b.Output("", first ? b.Unary(OpKind::kTanh, in) : b.Mul(in, in));
    CHECK(b.status().ok(), Message(b.status()));
    return std::make_shared<const Graph>(std::move(graph));
  };
  g.Keep(g.b.Emit(OpKind::kIf, {flag, x}, {}, {branch(true), branch(false)}), bound * bound + 1);
}

// What wraps wraps alike everywhere. Floats are chosen by integers, never the other way round.
void IntegerStep(Draft& g) {
  const DType dtype =
      g.Pick({DType::kI8, DType::kU8, DType::kI16, DType::kI32, DType::kU32, DType::kI64});
  const Value leaf = g.Leaf();
  const TensorType type = {dtype, g.ShapeOf(leaf)};
  Value x = g.Input(type);
  for (int64_t links = g.Draw(1, 4); links > 0; --links) {
    const Value y = g.Flip() ? g.Input(type) : g.b.Scalar(dtype, static_cast<double>(g.Draw(0, 3)));
    switch (g.Draw(0, 3)) {
      case 0:
        x = g.b.Emit(g.Pick({OpKind::kAdd, OpKind::kSub, OpKind::kMul}), {x, y});
        break;
      case 1:
        x = g.b.Emit(g.Pick({OpKind::kMax, OpKind::kMin}), {x, y});
        break;
      case 2:
        x = g.b.Where(g.b.Emit(g.Pick({OpKind::kLt, OpKind::kEq, OpKind::kGe}), {x, y}), x, y);
        break;
      default:
        x = g.b.Cast(g.b.Cast(x, g.Pick({DType::kI64, DType::kI16})), dtype);
    }
  }
  const Value small = g.b.Emit(OpKind::kLt, {x, g.b.Scalar(dtype, 2)});
  if (g.Flip()) g.extra_outputs.push_back(x);
  if (g.Flip()) g.extra_outputs.push_back(g.b.Unary(OpKind::kLogicalNot, small));
  const Draft::Item other = g.Operand(leaf);
  g.Keep(g.b.Where(small, leaf, other.value), std::max(1.0, other.bound));
}

void CustomStep(Draft& g) {
  const auto [x, bound] = g.Any();
  const TensorType type = g.b.type(x);
  Graph body;
  GraphBuilder b(body);
  const Value p = b.Input("", type), q = b.Input("", type);
  const Value half = b.Mul(q, b.Scalar(type.dtype, 0.5));
  b.Output("", b.Unary(OpKind::kTanh, b.Add(p, half)));
  const bool two = g.Flip();
  if (two) b.Output("", b.Max(p, half));
  CHECK(b.status().ok(), Message(b.status()));
  const auto shared = std::make_shared<const Graph>(std::move(body));
  const auto call = [&](Value first, Value second) {
    return g.b.EmitAll(OpKind::kCustom, {first, second}, {{"name", std::string("mix")}}, {shared});
  };
  const std::vector<Value> once = call(x, x);
  if (once.empty()) return;
  g.Keep(once[0], 1);
  g.Keep(call(once[0], x)[0], 1);
  if (two) g.Keep(once[1], bound);
}

std::span<const DraftStep> PlainSteps() {
  static constexpr DraftStep kSteps[] = {
      UnaryStep,     BinaryStep,  BinaryStep, MatMulStep, SoftmaxStep,    NormStep,
      TransposeStep, ReshapeStep, NarrowStep, ConcatStep, ReduceStep,     CumsumStep,
      WhereStep,     GatherStep,  TopKStep,   ExpandStep, DotGeneralStep, ConstantStep};
  return kSteps;
}

std::span<const DraftStep> CompositeSteps() {
  static constexpr DraftStep kSteps[] = {AttentionStep, RegionStep};
  return kSteps;
}

}  // namespace rlx::test
