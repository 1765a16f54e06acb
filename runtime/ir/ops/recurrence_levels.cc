// SPDX-License-Identifier: Apache-2.0
// Linear recurrences as products of their steps.
#include <cmath>

#include "runtime/base/status.h"
#include "runtime/ir/ops/attention.h"
#include "runtime/ir/ops/recurrence.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

using Values = std::vector<Value>;

// S ← a·S + u of all places of axis 1 at once. By matrices: a and u are [b,s,h,n,n]; else they
// multiply element by element.
struct Steps {
  Value a, u;
  bool matrices = false;
};

// The types that the states are computed in and returned in.
struct Types {
  DType wide, narrow;
};

Types TypesOf(const Node& node) {
  const DType narrow = node.results[0].dtype;
  return {ByteWidth(narrow) < 4 ? DType::kF32 : narrow, narrow};
}

Value To(GraphBuilder& b, Value x, DType dtype) {
  return b.type(x).dtype == dtype ? x : b.Cast(x, dtype);
}

Values Wide(GraphBuilder& b, const Node& node) {
  Values wide;
  for (Value operand : node.operands) wide.push_back(To(b, operand, TypesOf(node).wide));
  return wide;
}

Value Times(GraphBuilder& b, const Steps& steps, Value x) {
  return steps.matrices ? b.MatMul(steps.a, x) : b.Mul(steps.a, x);
}

// Each place's step and the one `back` places before it as one step; places that have none there
// keep theirs. `position` is [s]: 0, 1, …
Steps Joined(GraphBuilder& b, const Steps& steps, Value position, int64_t back) {
  const Value distance = b.Scalar(DType::kI64, static_cast<double>(back));
  const Value from = b.Max(b.Sub(position, distance), b.Scalar(DType::kI64, 0));
  Shape along(static_cast<size_t>(b.type(steps.u).rank()) - 1, 1);
  along[0] = b.type(position).shape[0];
  const Value is_there = b.Reshape(b.Emit(OpKind::kGe, {position, distance}), std::move(along));
  const Value a = Times(b, steps, b.Gather(steps.a, from, 1));
  const Value u = b.Add(Times(b, steps, b.Gather(steps.u, from, 1)), steps.u);
  return {b.Where(is_there, a, steps.a), b.Where(is_there, u, steps.u), steps.matrices};
}

// The state after each step, from `first` on, or from zero where there is none.
Value States(GraphBuilder& b, Steps steps, Value position, const Dim& length, Value first) {
  const int64_t most = length.UpperBound(b.graph().symbols);
  for (int64_t back = 1; back < most && b.status().ok();) {
    steps = Joined(b, steps, position, back);
    back = back > most / 2 ? most : 2 * back;
  }
  return first.valid() ? b.Add(Times(b, steps, first), steps.u) : steps.u;
}

// Of [b,s,..], what stands last in s, as [b,..].
Value Last(GraphBuilder& b, Value states, Value position) {
  const Value end = b.Reduce(OpKind::kReduceMax, position, {0}, false);
  return b.Gather(states, end, 1);
}

// The carried state, the same for all places of axis 1.
Value First(GraphBuilder& b, const Node& node, const Values& in) {
  if (in.size() < 6) return {};
  Shape shape = node.results[1].shape;
  shape.insert(shape.begin() + 1, Dim(1));
  return b.Reshape(in[5], std::move(shape));
}

Value Identity(GraphBuilder& b, DType dtype, int64_t n) {
  std::vector<double> values(static_cast<size_t>(n * n));
  for (int64_t i = 0; i < n; ++i) values[static_cast<size_t>(i * (n + 1))] = 1;
  return b.Constant(HostTensor::FromDoubles(dtype, {n, n}, values));
}

Values Returned(GraphBuilder& b, const Node& node, Value out, Value states, Value position) {
  const DType narrow = TypesOf(node).narrow;
  return {To(b, out, narrow), To(b, Last(b, states, position), narrow)};
}

// S ← (I - beta·k⊗k)·exp(g)·S + beta·k⊗v
Values DeltaNet(GraphBuilder& b, const Node& node) {
  const Values in = Wide(b, node);
  const Value q = in[0], k = in[1], v = in[2], g = in[3], beta = in[4];
  const Shape& d = node.results[0].shape;
  const Shape column{d[0], d[1], d[2], d[3], 1}, line{d[0], d[1], d[2], 1, d[3]};
  const Shape gate{d[0], d[1], d[2], 1, 1};
  const DType dtype = TypesOf(node).wide;
  const int64_t n = d[3].value();
  const Value written = b.Mul(b.Reshape(k, column), b.Reshape(beta, gate));
  const Value kept = b.Sub(Identity(b, dtype, n), b.Mul(written, b.Reshape(k, line)));
  const Value a = b.Mul(kept, b.Unary(OpKind::kExp, b.Reshape(g, gate)));
  const Value u = b.Mul(written, b.Reshape(v, line));
  const Value position = Iota(b, d[1], DType::kI64);
  const Value states = States(b, {a, u, true}, position, d[1], First(b, node, in));
  const Value scale = b.Scalar(dtype, 1 / std::sqrt(static_cast<double>(n)));
  const Value out = b.Mul(b.Reshape(b.MatMul(b.Reshape(q, line), states), d), scale);
  return Returned(b, node, out, states, position);
}

// S ← exp(delta·a)·S + delta·b·x
Values SelectiveScan(GraphBuilder& b, const Node& node) {
  const Values in = Wide(b, node);
  const Value x = in[0], delta = in[1], decay = in[2], write = in[3], read = in[4];
  const Shape& d = node.results[0].shape;
  const Shape column{d[0], d[1], d[2], 1}, line{d[0], d[1], 1, node.results[1].shape[2]};
  const Value a = b.Unary(OpKind::kExp, b.Mul(b.Reshape(delta, column), decay));
  const Value u = b.Mul(b.Reshape(b.Mul(delta, x), column), b.Reshape(write, line));
  const Value position = Iota(b, d[1], DType::kI64);
  const Value states = States(b, {a, u, false}, position, d[1], First(b, node, in));
  const Value out = b.Reduce(OpKind::kReduceSum, b.Mul(states, b.Reshape(read, line)), {3}, false);
  return Returned(b, node, out, states, position);
}

}  // namespace

bool IsLinearRecurrence(OpKind op) {
  return op == OpKind::kGatedDeltaNet || op == OpKind::kSelectiveScan;
}

absl::StatusOr<std::vector<Value>> DecomposeInLevels(GraphBuilder& b, const Node& node) {
  RLX_TRY(b.status());
  return Lowered(b, node.op == OpKind::kGatedDeltaNet ? DeltaNet(b, node) : SelectiveScan(b, node));
}

}  // namespace rlx
