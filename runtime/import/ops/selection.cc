// SPDX-License-Identifier: Apache-2.0
// Ops whose results have as many elements as a run finds: they get room for the most that there can
// be, and say how many count.
#include <cmath>

#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"

namespace rlx::onnx {
namespace {

constexpr int64_t kMaxPairs = int64_t{1} << 24;  // of elements that are compared

Value CountOf(GraphBuilder& b, Value is) {
  return b.Reduce(OpKind::kReduceSum, b.Cast(is, DType::kI64), {0}, false);
}

// Which elements of a list are to be kept, brought to its front in their order.
struct Kept {
  Value place;   // i64 [n]: where each was; 0 behind the last
  Value counts;  // bool [n]: whether there is one
  Value count;   // i64 scalar
};

Kept Keep(GraphBuilder& b, Value keep) {
  const Dim n = ShapeOf(b, keep)[0];
  const Value before = b.Emit(OpKind::kCumsum, {b.Cast(keep, DType::kI64)},
                              {{"axis", int64_t{0}}, {"exclusive", true}});
  const Value to = b.Where(keep, before, EmitDim(b, n, DType::kI64));  // the others: one past
  const Value index = EmitIota(b, n);
  Kept out;
  const Value placed = b.Emit(OpKind::kScatterAdd, {index, to}, {{"rows", Shape{n + Dim(1)}}});
  if (!n.is_static()) {
    b.Fail(Unimplemented("as many results as ", n));
    return out;
  }
  out.place = b.Narrow(placed, 0, 0, n.value());
  out.count = CountOf(b, keep);
  out.counts = b.Emit(OpKind::kLt, {index, out.count});
  return out;
}

// The rows of x [n, …] that count, then zeros.
Value Front(GraphBuilder& b, Value x, const Kept& kept) {
  const Value rows = b.Gather(x, kept.place);
  const int rank = b.type(x).rank();
  const Value counts = rank == 1 ? kept.counts : Along(b, kept.counts, 0, rank);
  if (b.type(x).dtype == DType::kBool) return b.Emit(OpKind::kLogicalAnd, {rows, counts});
  return b.Where(counts, rows, Like(b, x, 0));
}

absl::StatusOr<int64_t> Elements(const OpNode& n, int operand) {
  const auto count = n.type(operand).NumElements();
  if (count && *count > 0) return *count;
  return Unimplemented("operand ", operand, " is ", n.type(operand),
                       "; its extents have to be known");
}

// --- NonZero ---

Results NonZero(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const int64_t count, Elements(n, 0));
  const int rank = n.rank(0);
  if (rank == 0 || count > kMaxPlaces) return Unimplemented("operand 0 is ", n.type(0));
  const Value flat = b.Reshape(n.In(0), {count});
  const Value is =
      n.dtype(0) == DType::kBool ? flat : b.Emit(OpKind::kNe, {flat, Like(b, flat, 0)});
  const Kept kept = Keep(b, is);
  std::vector<Value> rows;
  Value rest = kept.place;
  for (int i = 0; i < rank; ++i) {
    const int64_t stride =
        Product(n.shape(0), static_cast<size_t>(i) + 1, n.shape(0).size()).value();
    const Value step = b.Scalar(DType::kI64, static_cast<double>(stride));
    const Value index = b.Div(rest, step);
    rest = b.Sub(rest, b.Mul(index, step));
    rows.push_back(b.Reshape(b.Where(kept.counts, index, Like(b, index, 0)), {1, count}));
  }
  n.SetExtent(0, 1, kept.count);
  return One(rank == 1 ? rows[0] : b.Concat(std::move(rows), 0));
}

// --- Unique ---

// bool [n, n] of x [n, m]: whether rows are equal, NaN being equal to NaN; and whether the row
// comes before the column in rising order, NaN last.
struct Order {
  Value equal, less;
};

Order OrderOf(GraphBuilder& b, Value x, int64_t n, int64_t m) {
  const Value left = b.Reshape(x, {n, 1, m}), right = b.Reshape(x, {1, n, m});
  const auto both = [&](Value p, Value q) { return b.Emit(OpKind::kLogicalAnd, {p, q}); };
  const auto either = [&](Value p, Value q) { return b.Emit(OpKind::kLogicalOr, {p, q}); };
  Value same = b.Emit(OpKind::kEq, {left, right}), less = b.Emit(OpKind::kLt, {left, right});
  if (IsFloat(b.type(x).dtype)) {
    const Value left_nan = b.Emit(OpKind::kNe, {left, left});
    const Value right_nan = b.Emit(OpKind::kNe, {right, right});
    same = either(same, both(left_nan, right_nan));
    less = either(less, both(b.Unary(OpKind::kLogicalNot, left_nan), right_nan));
  }
  if (m == 1) return {b.Reshape(same, {n, n}), b.Reshape(less, {n, n})};
  // The first column where they differ decides.
  const Value differ = b.Cast(b.Unary(OpKind::kLogicalNot, same), DType::kI32);
  const Value before =
      b.Emit(OpKind::kCumsum, {differ}, {{"axis", int64_t{2}}, {"exclusive", true}});
  const Value decides = both(less, b.Emit(OpKind::kEq, {before, Like(b, before, 0)}));
  const Value any = b.Reduce(OpKind::kReduceMax, b.Cast(decides, DType::kI32), {2}, false);
  const Value differs = b.Reduce(OpKind::kReduceMax, differ, {2}, false);
  const Value zero = b.Scalar(DType::kI32, 0);
  return {b.Emit(OpKind::kEq, {differs, zero}), b.Emit(OpKind::kNe, {any, zero})};
}

Results Unique(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const int64_t elements, Elements(n, 0));
  const bool flat = !n.HasAttr("axis");
  int64_t axis = 0;
  if (!flat) {
    RLX_ASSIGN(axis, n.Axis(n.Int("axis", 0), n.rank(0)));
  }
  const int64_t rows = flat ? elements : n.shape(0)[static_cast<size_t>(axis)].value();
  const int64_t width = elements / rows;
  if (rows > kMaxPairs / rows / width)
    return Unimplemented("operand 0 has ", rows, " entries of ", width, "; supported are up to ",
                         kMaxPairs, " comparisons of their pairs");
  std::vector<int64_t> perm = {axis};
  for (int i = 0; i < n.rank(0); ++i)
    if (i != axis) perm.push_back(i);
  Value x = n.In(0);
  if (!flat) x = b.Transpose(x, perm);
  const Shape moved = flat ? Shape{rows} : ShapeOf(b, x);
  Value table = b.Reshape(x, {rows, width});
  if (n.dtype(0) == DType::kBool) table = b.Cast(table, DType::kU8);
  RLX_TRY(b.status());
  const Order order = OrderOf(b, table, rows, width);
  // first[i]: the first entry equal to entry i. Of each kind that one stands for it.
  const Value index = EmitIota(b, Dim(rows));
  const Value past = b.Scalar(DType::kI64, static_cast<double>(rows));
  const Value candidates = b.Where(order.equal, b.Reshape(index, {1, rows}), past);
  const Value first = b.Reduce(OpKind::kReduceMin, candidates, {1}, false);
  const Value stands = b.Emit(OpKind::kEq, {first, index});
  const Value count = CountOf(b, stands);
  Value before = order.less;  // [i, j]: whether kind i comes before kind j
  if (n.Int("sorted", 1) == 0)
    before = b.Emit(OpKind::kLt, {b.Reshape(first, {rows, 1}), b.Reshape(first, {1, rows})});
  before = b.Emit(OpKind::kLogicalAnd, {before, b.Reshape(stands, {rows, 1})});
  const Value inverse = b.Reduce(OpKind::kReduceSum, b.Cast(before, DType::kI64), {0}, false);
  const auto scatter = [&](Value what, Value to, int64_t room) {
    const Value all = b.Emit(OpKind::kScatterAdd, {what, to}, {{"rows", Shape{Dim(room)}}});
    return room == rows ? all : b.Narrow(all, 0, 0, rows);
  };
  Kept kept{.counts = b.Emit(OpKind::kLt, {index, count}), .count = count};
  kept.place = scatter(index, b.Where(stands, inverse, past), rows + 1);
  const Value counts = scatter(b.Expand(b.Scalar(DType::kI64, 1), {rows}), inverse, rows);
  Value y = Front(b, b.Reshape(x, moved), kept);
  if (!flat) {
    std::vector<int64_t> back(perm.size());
    for (size_t i = 0; i < perm.size(); ++i)
      back[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
    y = b.Transpose(y, std::move(back));
  }
  n.SetExtent(0, axis, count);
  n.SetExtent(1, 0, count);
  n.SetExtent(3, 0, count);
  return std::vector<Value>{y, kept.place, inverse, counts};
}

// --- NonMaxSuppression ---

// Corners and areas of boxes, each [batch, 1, boxes].
struct Boxes {
  Value y1, x1, y2, x2, area;
};

Boxes BoxesOf(GraphBuilder& b, Value boxes, bool centres) {
  const Shape s = ShapeOf(b, boxes);
  const auto column = [&](int64_t i) {
    return b.Reshape(b.Narrow(boxes, 2, i, 1), {s[0], 1, s[1]});
  };
  const Value c0 = column(0), c1 = column(1), c2 = column(2), c3 = column(3);
  Boxes out;
  if (centres) {  // x, y, width, height
    const Value half = Like(b, boxes, 0.5), w = b.Mul(c2, half), h = b.Mul(c3, half);
    out = {b.Sub(c1, h), b.Sub(c0, w), b.Add(c1, h), b.Add(c0, w), {}};
  } else {
    const auto least = [&](Value p, Value q) { return b.Emit(OpKind::kMin, {p, q}); };
    out = {least(c0, c2), least(c1, c3), b.Max(c0, c2), b.Max(c1, c3), {}};
  }
  out.area = b.Mul(b.Sub(out.x2, out.x1), b.Sub(out.y2, out.y1));
  return out;
}

// Whether boxes overlap a picked one by more than the threshold.
Value Overlap(GraphBuilder& b, const Boxes& all, const Boxes& one, Value threshold) {
  const auto span = [&](Value low1, Value low2, Value high1, Value high2) {
    return b.Sub(b.Emit(OpKind::kMin, {high1, high2}), b.Max(low1, low2));
  };
  const Value width = span(all.x1, one.x1, all.x2, one.x2);
  const Value height = span(all.y1, one.y1, all.y2, one.y2);
  const Value zero = Like(b, width, 0), shared = b.Mul(width, height);
  const Value both = b.Sub(b.Add(all.area, one.area), shared);
  Value is = b.Emit(OpKind::kGt, {b.Div(shared, both), threshold});
  for (const Value v : {width, height, shared, all.area, one.area, both})
    is = b.Emit(OpKind::kLogicalAnd, {is, b.Emit(OpKind::kGt, {v, zero})});
  return is;
}

// One box more of every class: carries the scores [batch, classes, boxes], of which those that are
// out of the race are -inf; gives the box picked and whether there was one, [batch, classes, 1].
std::shared_ptr<const Graph> PickGraph(const TensorType& scores, const TensorType& side,
                                       absl::Status& status) {
  auto graph = std::make_shared<Graph>();
  GraphBuilder b(*graph);
  const Value score = b.Input("scores", scores);
  const Boxes all{b.Input("y1", side), b.Input("x1", side), b.Input("y2", side),
                  b.Input("x2", side), b.Input("area", side)};
  const Value threshold = b.Input("threshold", {DType::kF32, {}});
  b.Input("step", {DType::kI64, {}});
  const std::vector<Value> top =
      b.EmitAll(OpKind::kTopK, {score}, {{"k", int64_t{1}}, {"axis", int64_t{2}}});
  const Value best = top.empty() ? Value{} : top[0], place = Second(top);
  const Value index = Along(b, EmitIota(b, scores.shape[2]), 2, 3);
  const Value picked = b.Emit(OpKind::kEq, {index, place});
  const auto of = [&](Value v) {
    return b.Reduce(OpKind::kReduceSum, b.Where(picked, v, Like(b, v, 0)), {2}, true);
  };
  const Boxes one{of(all.y1), of(all.x1), of(all.y2), of(all.x2), of(all.area)};
  const Value out = b.Emit(OpKind::kLogicalOr, {picked, Overlap(b, all, one, threshold)});
  const Value none = Like(b, score, -INFINITY);
  b.Output("scores", b.Where(out, none, score));
  b.Output("place", place);
  b.Output("found", b.Emit(OpKind::kGt, {best, none}));
  status = b.status();
  return graph;
}

Results NonMaxSuppression(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const int64_t scored, Elements(n, 1));
  if (n.rank(0) != 3 || n.rank(1) != 3 || n.shape(0)[2] != Dim(4) ||
      n.shape(0)[0] != n.shape(1)[0] || n.shape(0)[1] != n.shape(1)[2])
    return InvalidArgument("operands ", n.type(0), " and ", n.type(1),
                           " are not [batch,boxes,4] and [batch,classes,boxes]");
  int64_t most = 0;
  if (n.Has(2)) {
    RLX_ASSIGN(const std::vector<int64_t> given, n.Ints(2, "max_output_boxes_per_class"));
    if (given.size() != 1) return InvalidArgument("operand 2 has ", given.size(), " elements");
    most = given[0];
  }
  const Shape s = n.shape(1);
  most = std::min(most, s[2].value());
  if (most < 1) return Unimplemented("max_output_boxes_per_class is 0: it would select nothing");
  const int64_t lists = s[0].value() * s[1].value(), rows = lists * most;
  if (scored > kMaxPlaces || rows > kMaxPlaces) return Unimplemented("scores ", n.type(1));
  const int64_t format = n.Int("center_point_box", 0);
  const Boxes boxes = BoxesOf(b, To(b, n.In(0), DType::kF32), format != 0);
  const auto scalar = [&](int i) {
    return n.Has(i) ? b.Reshape(To(b, n.In(i), DType::kF32), {}) : b.Scalar(DType::kF32, 0);
  };
  // -inf marks what is out of the race, so that a score of that takes part as the least.
  const Value given = To(b, n.In(1), DType::kF32);
  Value scores = b.Max(given, b.Scalar(DType::kF32, -3.4028234663852886e38));
  if (n.Has(4))
    scores =
        b.Where(b.Emit(OpKind::kGt, {given, scalar(4)}), scores, b.Scalar(DType::kF32, -INFINITY));
  RLX_TRY(b.status());
  absl::Status status;
  const auto pick = PickGraph(b.type(scores), b.type(boxes.y1), status);
  RLX_TRY(status);
  const std::vector<Value> done = b.EmitAll(
      OpKind::kScan,
      {scores, boxes.y1, boxes.x1, boxes.y2, boxes.x2, boxes.area, scalar(3),
       EmitIota(b, Dim(most))},
      {{"carries", int64_t{1}}, {"sequences", int64_t{1}}, {"length", Shape{Dim(most)}}}, {pick});
  RLX_TRY(b.status());
  const auto listed = [&](Value v) {  // [steps, batch, classes, 1], by batch, class, step
    return b.Reshape(b.Transpose(v, {1, 2, 0, 3}), {rows});
  };
  std::vector<int64_t> whose;
  for (int64_t i = 0; i < rows; ++i) {
    whose.push_back(i / most / s[1].value());
    whose.push_back(i / most % s[1].value());
  }
  const Value owner = b.Constant(HostTensor::FromInts(DType::kI64, {rows, 2}, whose));
  const Value all = b.Concat({owner, b.Reshape(listed(done[1]), {rows, 1})}, 1);
  const Kept kept = Keep(b, listed(done[2]));
  n.SetExtent(0, 0, kept.count);
  return One(Front(b, all, kept));
}

constexpr std::string_view kNote = "as many rows as there can be, and how many count";

constexpr OpRow kRows[] = {
    {kOnnx, "NonMaxSuppression", 10, INT32_MAX, 2, 5, "center_point_box", NonMaxSuppression,
     nullptr, Carries::kNo, kNote},
    {kOnnx, "NonZero", 9, INT32_MAX, 1, 1, "", NonZero, nullptr, Carries::kNo, kNote},
    {kOnnx, "Unique", 11, INT32_MAX, 1, 1, "axis sorted", Unique, nullptr, Carries::kNo, kNote},
};

}  // namespace

std::span<const OpRow> SelectionOps() { return kRows; }

}  // namespace rlx::onnx
