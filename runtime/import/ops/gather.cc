// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"
#include "runtime/ir/ops/attention.h"

namespace rlx::onnx {
namespace {

using Ints = std::vector<int64_t>;

// Indices as they count from the start. Those that are known are looked at now.
absl::StatusOr<Value> FromStart(OpNode& n, int operand, const Dim& extent) {
  GraphBuilder& b = n.b;
  if (n.IsConstant(operand)) {
    RLX_ASSIGN(Ints places, n.Ints(operand, "indices"));
    bool changed = false;
    for (int64_t& place : places) {
      if (place >= 0) continue;
      if (!extent.is_static()) {
        changed = false;
        break;
      }
      place += extent.value();
      changed = true;
    }
    const bool negative =
        std::any_of(places.begin(), places.end(), [](int64_t p) { return p < 0; });
    if (!negative && !changed) return n.In(operand);
    if (!negative)
      return b.Constant(
          HostTensor::FromInts(n.dtype(operand), n.type(operand).StaticDims(), places));
  }
  const Value index = n.In(operand);
  if (!Info(n.dtype(operand)).is_signed) return index;
  const Value negative = b.Emit(OpKind::kLt, {index, Like(b, index, 0)});
  return b.Where(negative, b.Add(index, EmitDim(b, extent, n.dtype(operand))), index);
}

Results Gather(OpNode& n) {
  RLX_ASSIGN(const int64_t axis, n.Axis(n.Int("axis", 0), n.rank(0)));
  RLX_ASSIGN(const Value index, FromStart(n, 1, n.shape(0)[static_cast<size_t>(axis)]));
  return One(n.b.Gather(n.In(0), index, axis));
}

std::optional<DimTensor> FoldGather(const OpNode& n) {
  const auto x = n.Dims(0), index = n.Dims(1);
  if (!x || !index || x->rank != 1 || !index->is_static()) return {};
  DimTensor out{x->dtype, index->rank, {}};
  for (const Dim& dim : index->elements) {
    const int64_t at = dim.value() < 0 ? dim.value() + x->size() : dim.value();
    if (at < 0 || at >= x->size()) return {};
    out.elements.push_back(x->elements[static_cast<size_t>(at)]);
  }
  return out;
}

// --- By coordinates: the elements of x as one line, and which of them each index means. ---

Value Scaled(GraphBuilder& b, Value index, const Dim& stride) {
  if (stride == Dim(1)) return index;
  return b.Mul(index, EmitDim(b, stride, b.type(index).dtype));
}

// For indices shaped like a part of x: along `axis` they say the place, along the others it is
// their own. Each is checked against its own axis before it becomes a place of the line.
absl::StatusOr<Value> LinePlaces(OpNode& n, int operand, int64_t axis, Value index,
                                 std::string_view of) {
  GraphBuilder& b = n.b;
  const Shape& shape = n.shape(0);
  const int rank = n.rank(0);
  if (n.rank(operand) != rank)
    return InvalidArgument("indices have rank ", n.rank(operand), ", the operand ", rank);
  const Shape& own = n.shape(operand);
  Value place = CheckedIndices(b, index, shape[static_cast<size_t>(axis)], of);
  place = Scaled(b, place, Product(shape, static_cast<size_t>(axis) + 1, shape.size()));
  for (int i = 0; i < rank; ++i) {
    if (i == axis) continue;
    const auto at = static_cast<size_t>(i);
    if (own[at] == Dim(1)) continue;
    const Value along = Along(b, EmitIota(b, own[at]), i, rank);
    place = b.Add(place, Scaled(b, along, Product(shape, at + 1, shape.size())));
  }
  return place;
}

Results GatherElements(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const int64_t axis, n.Axis(n.Int("axis", 0), n.rank(0)));
  RLX_ASSIGN(const Value index, FromStart(n, 1, n.shape(0)[static_cast<size_t>(axis)]));
  RLX_ASSIGN(const Value place, LinePlaces(n, 1, axis, index, "GatherElements"));
  return One(b.Gather(b.Reshape(n.In(0), {Product(n.shape(0), 0, n.shape(0).size())}), place));
}

// The last axis of `indices` has coordinates of the axes from `first` on: the place among the
// slices that they cut.
struct Coordinates {
  Value place;      // [rows]
  Shape rows;       // the indices' other extents
  size_t used = 0;  // how many axes they name
};
absl::StatusOr<Coordinates> CoordinatesOf(OpNode& n, int operand, size_t first,
                                          std::string_view of) {
  GraphBuilder& b = n.b;
  const Shape &shape = n.shape(0), &own = n.shape(operand);
  if (own.empty() || !own.back().is_static())
    return InvalidArgument("indices need a last axis of known extent");
  Coordinates out{.rows = Shape(own.begin(), own.end() - 1),
                  .used = static_cast<size_t>(own.back().value())};
  if (first + out.used > shape.size())
    return InvalidArgument("indices name ", out.used, " axes of rank ", shape.size());
  const Value flat =
      b.Reshape(To(b, n.In(operand), DType::kI64), {Product(own, 0, own.size() - 1), own.back()});
  const size_t last = first + out.used;
  for (size_t i = 0; i < out.used; ++i) {
    const Dim& extent = shape[first + i];
    Value one = b.Reshape(b.Narrow(flat, 1, static_cast<int64_t>(i), 1),
                          {Product(out.rows, 0, out.rows.size())});
    const Value negative = b.Emit(OpKind::kLt, {one, Like(b, one, 0)});
    one = b.Where(negative, b.Add(one, EmitDim(b, extent, DType::kI64)), one);
    one = CheckedIndices(b, one, extent, of);
    one = Scaled(b, one, Product(shape, first + i + 1, last));
    out.place = i == 0 ? one : b.Add(out.place, one);
  }
  return out;
}

Results GatherND(OpNode& n) {
  GraphBuilder& b = n.b;
  const auto batch = static_cast<size_t>(n.Int("batch_dims", 0));
  const Shape& shape = n.shape(0);
  if (batch >= shape.size() || batch >= n.shape(1).size())
    return InvalidArgument("batch_dims is ", batch);
  RLX_ASSIGN(Coordinates at, CoordinatesOf(n, 1, batch, "GatherND"));
  const Dim slices = Product(shape, batch, batch + at.used);
  const Dim batches = Product(shape, 0, batch);
  if (batch > 0) {  // rows of one batch stand together
    const Dim each = Product(at.rows, batch, at.rows.size());
    const Value offset = Scaled(b, Along(b, EmitIota(b, batches), 0, 2), slices);
    at.place = b.Add(b.Reshape(at.place, {batches, each}), offset);
    at.place = b.Reshape(at.place, {batches * each});
  }
  const Dim width = Product(shape, batch + at.used, shape.size());
  const Value table = b.Reshape(n.In(0), {batches * slices, width});
  Shape out = at.rows;
  out.insert(out.end(), shape.begin() + static_cast<std::ptrdiff_t>(batch + at.used), shape.end());
  return One(b.Reshape(b.Gather(table, at.place), std::move(out)));
}

// --- Scattering. ---

// Update after update: multiplied in, or the least or greatest kept.
Value FoldRows(GraphBuilder& b, Value x, Value place, Value updates, const std::string& how) {
  const TensorType line = b.type(x), given = b.type(updates), at = b.type(place);
  if (!b.status().ok()) return x;
  auto graph = std::make_shared<Graph>();
  GraphBuilder in(*graph);
  const Value so_far = in.Input("line", line);
  const Value row = in.Input("place", {at.dtype, {}});
  const Value update = in.Input("update", {given.dtype, {given.shape[1]}});
  const OpKind op = how == "mul" ? OpKind::kMul : how == "min" ? OpKind::kMin : OpKind::kMax;
  const Value hit =
      in.Emit(OpKind::kEq, {Along(in, EmitIota(in, line.shape[0], at.dtype), 0, 2), row});
  in.Output("line", in.Where(hit, in.Emit(op, {so_far, update}), so_far));
  b.Fail(in.status());
  return b.Emit(
      OpKind::kScan, {x, place, updates},
      {{"carries", int64_t{1}}, {"sequences", int64_t{2}}, {"length", Shape{at.shape[0]}}},
      {graph});
}

// x, a line of slices [rows, width], with updates [count, width] put or added at `place` [count].
absl::StatusOr<Value> PutRows(OpNode& n, Value x, Value place, Value updates,
                              const std::string& how) {
  GraphBuilder& b = n.b;
  const DType dtype = b.type(x).dtype;
  const Shape shape = ShapeOf(b, x);
  const auto sum = [&](Value values) {
    return b.Emit(OpKind::kScatterAdd, {values, place}, {{"rows", Shape{shape[0]}}});
  };
  if (how == "add") return b.Add(x, sum(updates));
  if (how != "none") return FoldRows(b, x, place, updates, how);
  // Where nothing was put the count of updates is 0.
  const Value ones = b.Expand(b.Scalar(DType::kI32, 1), {ShapeOf(b, place)[0], Dim(1)});
  const Value hit = b.Emit(OpKind::kGt, {sum(ones), b.Scalar(DType::kI32, 0)});
  const bool real = IsFloat(dtype) || IsInteger(dtype);
  const Value given = real ? sum(updates) : b.Cast(sum(b.Cast(updates, DType::kU8)), dtype);
  return b.Where(hit, given, x);
}

Results ScatterElements(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const std::string how,
             n.Choice("reduction", "none", {"none", "add", "mul", "min", "max"}));
  RLX_ASSIGN(const int64_t axis, n.Axis(n.Int("axis", 0), n.rank(0)));
  RLX_ASSIGN(const Value index, FromStart(n, 1, n.shape(0)[static_cast<size_t>(axis)]));
  RLX_ASSIGN(const Value place, LinePlaces(n, 1, axis, index, "ScatterElements"));
  const Dim count = Product(n.shape(1), 0, n.shape(1).size());
  const Value line = b.Reshape(n.In(0), {Product(n.shape(0), 0, n.shape(0).size()), Dim(1)});
  RLX_ASSIGN(const Value out,
             PutRows(n, line, b.Reshape(place, {count}), b.Reshape(n.In(2), {count, Dim(1)}), how));
  return One(b.Reshape(out, n.shape(0)));
}

Results ScatterND(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const std::string how,
             n.Choice("reduction", "none", {"none", "add", "mul", "min", "max"}));
  RLX_ASSIGN(const Coordinates at, CoordinatesOf(n, 1, 0, "ScatterND"));
  const Shape& shape = n.shape(0);
  const Dim rows = Product(shape, 0, at.used), width = Product(shape, at.used, shape.size());
  const Dim count = Product(at.rows, 0, at.rows.size());
  const Value line = b.Reshape(n.In(0), {rows, width});
  RLX_ASSIGN(const Value out, PutRows(n, line, at.place, b.Reshape(n.In(2), {count, width}), how));
  return One(b.Reshape(out, n.shape(0)));
}

// --- Others that pick places. ---

Results ReverseSequence(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const int64_t time, n.Axis(n.Int("time_axis", 0), n.rank(0)));
  RLX_ASSIGN(const int64_t batch, n.Axis(n.Int("batch_axis", 1), n.rank(0)));
  if (time + batch != 1) return Unimplemented("time and batch have to be axes 0 and 1");
  const Shape& s = n.shape(0);
  const auto at = [&](int64_t axis) { return s[static_cast<size_t>(axis)]; };
  const Value step = Along(b, EmitIota(b, at(time)), time, 2);
  const Value row = Along(b, EmitIota(b, at(batch)), batch, 2);
  const Value length = Along(b, To(b, n.In(1), DType::kI64), batch, 2);
  const Value mirrored = b.Sub(b.Sub(length, Like(b, length, 1)), step);
  const Value from = CheckedIndices(b, b.Where(b.Emit(OpKind::kLt, {step, length}), mirrored, step),
                                    at(time), "ReverseSequence");
  const Value place =
      b.Add(Scaled(b, from, time == 0 ? s[1] : Dim(1)), Scaled(b, row, time == 0 ? Dim(1) : s[1]));
  const Value table = b.Reshape(n.In(0), {s[0] * s[1], Product(s, 2, s.size())});
  return One(b.Reshape(b.Gather(table, b.Reshape(place, {s[0] * s[1]})), s));
}

Results Compress(OpNode& n) {
  RLX_ASSIGN(const Ints keep, n.Ints(1, "condition"));
  Value x = n.In(0);
  int64_t axis = 0;
  if (n.HasAttr("axis")) {
    RLX_ASSIGN(axis, n.Axis(n.Int("axis", 0), n.rank(0)));
  } else {
    x = n.b.Reshape(x, {Product(n.shape(0), 0, n.shape(0).size())});
  }
  Ints places;
  for (size_t i = 0; i < keep.size(); ++i)
    if (keep[i] != 0) places.push_back(static_cast<int64_t>(i));
  if (places.empty()) return Unimplemented("the result has no elements");
  const auto count = static_cast<int64_t>(places.size());
  const Value index = n.b.Constant(HostTensor::FromInts(DType::kI64, {count}, places));
  return One(n.b.Gather(x, index, axis));
}

constexpr OpRow kRows[] = {
    {kOnnx, "Compress", 9, INT32_MAX, 2, 2, "axis", Compress, nullptr, Carries::kNo,
     "the condition has to be known"},
    {kOnnx, "Gather", 7, INT32_MAX, 2, 2, "axis", Gather, FoldGather, Carries::kMove},
    {kOnnx, "GatherElements", 11, INT32_MAX, 2, 2, "axis", GatherElements, nullptr, Carries::kMove},
    {kOnnx, "GatherND", 11, INT32_MAX, 2, 2, "batch_dims", GatherND, nullptr, Carries::kMove},
    {kOnnx, "ReverseSequence", 10, INT32_MAX, 2, 2, "batch_axis time_axis", ReverseSequence},
    {kOnnx, "Scatter", 9, 10, 3, 3, "axis", ScatterElements},
    {kOnnx, "ScatterElements", 11, INT32_MAX, 3, 3, "axis reduction", ScatterElements},
    {kOnnx, "ScatterND", 11, INT32_MAX, 3, 3, "reduction", ScatterND},
};

}  // namespace

std::span<const OpRow> GatherOps() { return kRows; }

}  // namespace rlx::onnx
