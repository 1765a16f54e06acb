// SPDX-License-Identifier: Apache-2.0
#include "runtime/import/ops/common.h"

namespace rlx::onnx {

const Shape& ShapeOf(const GraphBuilder& b, Value value) {
  static const Shape none(64, Dim(1));  // as many as there may be
  return value.valid() && b.status().ok() ? b.type(value).shape : none;
}

Value Along(GraphBuilder& b, Value x, int64_t axis, int rank) {
  const Shape& from = ShapeOf(b, x);
  if (from.size() != 1 || axis < 0 || axis >= rank) {
    b.Fail(InvalidArgument("an operand of rank ", from.size(), " has to lie along axis ", axis,
                           " of rank ", rank));
    return x;
  }
  Shape shape(static_cast<size_t>(rank), Dim(1));
  shape[static_cast<size_t>(axis)] = from[0];
  return b.Reshape(x, std::move(shape));
}

Value Flatten(GraphBuilder& b, Value x, int first, int last) {
  const Shape& from = ShapeOf(b, x);
  const size_t begin = static_cast<size_t>(first);
  const size_t end = last < 0 ? from.size() : static_cast<size_t>(last);
  Shape shape(from.begin(), from.begin() + first);
  shape.push_back(Product(from, begin, end));
  shape.insert(shape.end(), from.begin() + static_cast<std::ptrdiff_t>(end), from.end());
  return b.Reshape(x, std::move(shape));
}

Value Pick(GraphBuilder& b, Value x, int64_t axis, const std::vector<int64_t>& places) {
  const auto count = static_cast<int64_t>(places.size());
  return b.Gather(x, b.Constant(HostTensor::FromInts(DType::kI64, {count}, places)), axis);
}

Value Strided(GraphBuilder& b, Value x, int64_t axis, int64_t start, int64_t step, int64_t count) {
  if (step == 1) {
    const Dim& extent = ShapeOf(b, x).at(static_cast<size_t>(axis));
    return start == 0 && extent == Dim(count) ? x : b.Narrow(x, axis, start, count);
  }
  if (count > kMaxPlaces) {
    b.Fail(Unimplemented("picking ", count, " elements by a step of ", step));
    return x;
  }
  std::vector<int64_t> places(static_cast<size_t>(count));
  for (size_t i = 0; i < places.size(); ++i) places[i] = start + static_cast<int64_t>(i) * step;
  return Pick(b, x, axis, places);
}

Value MoveLast(GraphBuilder& b, Value x, int64_t from) {
  const int64_t rank = b.type(x).rank();
  if (from == rank - 1) return x;
  std::vector<int64_t> perm;
  for (int64_t axis = 0; axis < rank; ++axis)
    if (axis != from) perm.push_back(axis);
  perm.push_back(from);
  return b.Transpose(x, std::move(perm));
}

Value MoveFromLast(GraphBuilder& b, Value x, int64_t to) {
  const int64_t rank = b.type(x).rank();
  if (to == rank - 1) return x;
  std::vector<int64_t> perm;
  for (int64_t axis = 0; axis + 1 < rank; ++axis) perm.push_back(axis);
  perm.insert(perm.begin() + to, rank - 1);
  return b.Transpose(x, std::move(perm));
}

Value PadWith(GraphBuilder& b, Value x, const std::vector<int64_t>& before,
              const std::vector<int64_t>& after, Value fill) {
  for (size_t i = 0; i < before.size(); ++i) {
    const auto axis = static_cast<int64_t>(i);
    const int64_t cut = std::max<int64_t>(0, -before[i]), cut_end = std::max<int64_t>(0, -after[i]);
    if (cut + cut_end > 0) {
      const Dim& extent = ShapeOf(b, x).at(i);
      if (!extent.is_static()) {
        b.Fail(Unimplemented("cutting an axis whose extent is ", extent, " is not supported"));
        return x;
      }
      x = b.Narrow(x, axis, cut, extent.value() - cut - cut_end);
    }
    std::vector<Value> parts;
    const auto add = [&](int64_t count) {
      if (count <= 0) return;
      Shape shape = ShapeOf(b, x);
      shape.at(i) = count;
      parts.push_back(b.Expand(fill, std::move(shape)));
    };
    add(before[i]);
    parts.push_back(x);
    add(after[i]);
    if (parts.size() > 1) x = b.Concat(std::move(parts), axis);
  }
  return x;
}

}  // namespace rlx::onnx
