// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "runtime/base/status.h"
#include "runtime/import/node.h"

// What import functions have in common.
namespace rlx::onnx {

// The extents of a value. After an error there are none to speak of: then many ones, so that code
// which reads on finds each that it asks for.
const Shape& ShapeOf(const GraphBuilder& b, Value value);

// The second of several results; none after an error.
inline Value Second(const std::vector<Value>& values) {
  return values.size() > 1 ? values[1] : Value{};
}

inline Results One(Value value) { return std::vector<Value>{value}; }

template <OpKind kKind>
Results Unary(OpNode& n) {
  return One(n.b.Unary(kKind, n.In(0)));
}
template <OpKind kKind>
Results Binary(OpNode& n) {
  return One(n.b.Emit(kKind, {n.In(0), n.In(1)}));
}

// A scalar of the element type of x.
inline Value Like(GraphBuilder& b, Value x, double value) {
  return b.Scalar(b.type(x).dtype, value);
}

// i64 that hold UINT64, moved to where i64 orders them alike; and back.
inline Value InOrder(GraphBuilder& b, Value x) {
  return b.Add(x, b.Constant(HostTensor::FromInts(DType::kI64, {}, {INT64_MIN})));
}

// 1/x.
inline Value Reciprocal(GraphBuilder& b, Value x) { return b.Div(Like(b, x, 1), x); }

inline Value Clamp(GraphBuilder& b, Value x, double low, double high) {
  return b.Emit(OpKind::kMin, {b.Max(x, Like(b, x, low)), Like(b, x, high)});
}

// Casts unless it is that already.
inline Value To(GraphBuilder& b, Value x, DType dtype) {
  return b.type(x).dtype == dtype ? x : b.Cast(x, dtype);
}

// Floats are computed in at least f32, and come back in their own type.
inline DType Wide(DType dtype) {
  return dtype == DType::kF16 || dtype == DType::kBF16 ? DType::kF32 : dtype;
}

// Adds axes of extent 1 so that `x`, of rank 1, lies along `axis` of something of that rank.
Value Along(GraphBuilder& b, Value x, int64_t axis, int rank);

// x with its extents from `first` on (to before `last`) as one; -1 for last: the rest.
Value Flatten(GraphBuilder& b, Value x, int first, int last = -1);

inline Dim Product(const Shape& shape, size_t first, size_t last) {
  Dim product(1);
  for (size_t i = first; i < last; ++i) product = product * shape[i];
  return product;
}

// The most entries of a list of places that is made while importing.
inline constexpr int64_t kMaxPlaces = int64_t{1} << 22;

// The slices of `axis` at those places.
Value Pick(GraphBuilder& b, Value x, int64_t axis, const std::vector<int64_t>& places);

// Elements start, start + step, … of `axis`, `count` of them; step may be negative.
Value Strided(GraphBuilder& b, Value x, int64_t axis, int64_t start, int64_t step, int64_t count);

// `x` moved so that axis `from` is last.
Value MoveLast(GraphBuilder& b, Value x, int64_t from);
// The inverse.
Value MoveFromLast(GraphBuilder& b, Value x, int64_t to);

// x with `before` and `after` elements of the scalar `fill` added along each axis; negative ones
// cut.
Value PadWith(GraphBuilder& b, Value x, const std::vector<int64_t>& before,
              const std::vector<int64_t>& after, Value fill);

}  // namespace rlx::onnx
