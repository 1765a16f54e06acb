// SPDX-License-Identifier: Apache-2.0
// A running sum in terms of sums and movement.
#include "runtime/ir/ops/reduction.h"

#include "runtime/base/status.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

Value Zeros(GraphBuilder& b, const TensorType& type) {
  return b.Expand(b.Scalar(type.dtype, 0), type.shape);
}

TensorType WithExtent(TensorType type, size_t axis, Dim extent) {
  type.shape[axis] = std::move(extent);
  return type;
}

// x moved `by` places towards the end of the axis, zeros before it.
Value Delayed(GraphBuilder& b, Value x, int64_t axis, int64_t by) {
  const TensorType type = b.type(x);
  const Value kept = b.Narrow(x, axis, 0, type.shape[axis].value() - by);
  return b.Concat({Zeros(b, WithExtent(type, axis, by)), kept}, axis);
}

// After the round of s each place holds the sum of the last 2s elements up to it.
Value SumByDoubling(GraphBuilder& b, Value x, int64_t axis, bool exclusive) {
  const TensorType type = b.type(x);
  const int64_t length = type.shape[axis].value();
  if (exclusive) x = length == 1 ? Zeros(b, type) : Delayed(b, x, axis, 1);
  for (int64_t s = 1; s < length && b.status().ok(); s = s > length / 2 ? length : 2 * s) {
    x = b.Add(x, Delayed(b, x, axis, s));
  }
  return x;
}

Value Repeated(GraphBuilder& b, bool bit, Dim times) {
  return b.Expand(b.Scalar(DType::kBool, bit ? 1 : 0), {std::move(times)});
}

// [n+1, n]: whether the sum at place j takes element r, as [r, j]; the last row is of no element.
// Nothing that targets run without running sums counts to a symbolic n. But read 2n at a time, a
// pattern of 2n+1 that is repeated begins one place earlier with every row.
Value Taken(GraphBuilder& b, const Dim& n, bool exclusive) {
  const Dim period = n + n + Dim(1);
  const Value ones = Repeated(b, true, n);
  const Value pattern = exclusive
                            ? b.Concat({Repeated(b, false, 1), ones, Repeated(b, false, n)}, 0)
                            : b.Concat({ones, Repeated(b, false, n + Dim(1))}, 0);
  const Value often = b.Expand(b.Reshape(pattern, {1, period}), {n, period});
  const Value flat = b.Concat({b.Reshape(often, {n * period}), Repeated(b, false, n)}, 0);
  const Value rows = b.Narrow(b.Reshape(flat, {n + Dim(1), 2, n}), 1, 0, 1);
  return b.Reshape(rows, {n + Dim(1), n});
}

Value SumUnderMask(GraphBuilder& b, Value x, size_t axis, bool exclusive) {
  const TensorType type = b.type(x);
  const Dim n = type.shape[axis];
  Shape mask(type.shape.size() - axis + 1, 1);
  mask[0] = n + Dim(1);
  mask[1] = n;
  Shape lines = WithExtent(type, axis, n + Dim(1)).shape;
  lines.insert(lines.begin() + static_cast<int64_t>(axis) + 1, Dim(1));
  const auto along = static_cast<int64_t>(axis);
  const Value longer = b.Concat({x, Zeros(b, WithExtent(type, axis, 1))}, along);
  const Value terms = b.Where(b.Reshape(Taken(b, n, exclusive), std::move(mask)),
                              b.Reshape(longer, std::move(lines)), b.Scalar(type.dtype, 0));
  return b.Reduce(OpKind::kReduceSum, terms, {along}, false);
}

}  // namespace

absl::StatusOr<std::vector<Value>> DecomposeCumsum(GraphBuilder& b, const Node& node) {
  RLX_TRY(b.status());
  const Value x = node.operands[0];
  const auto axis = static_cast<size_t>(node.Int("axis"));
  const bool exclusive = node.Bool("exclusive");
  const bool known = node.results[0].shape[axis].is_static();
  return Lowered(b, {known ? SumByDoubling(b, x, node.Int("axis"), exclusive)
                           : SumUnderMask(b, x, axis, exclusive)});
}

}  // namespace rlx
