// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "runtime/base/checked.h"
#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"

namespace rlx::onnx {
namespace {

struct Over {
  std::vector<int64_t> axes;
  bool keep_dims = true;
  bool none = false;  // over no axis: each element alone
};

// `since`: the opset in which axes became an operand.
absl::StatusOr<Over> OverOf(const OpNode& n, int since) {
  Over out{.keep_dims = n.Int("keepdims", 1) != 0};
  std::vector<int64_t> axes;
  if (n.opset < since) {
    axes = n.IntList("axes");
  } else if (n.Has(1)) {
    RLX_ASSIGN(axes, n.Ints(1, "axes"));
  }
  RLX_ASSIGN(out.axes, n.Axes(axes, n.rank(0)));
  out.none = n.rank(0) == 0 || (axes.empty() && n.Int("noop_with_empty_axes", 0) != 0);
  if (axes.empty())
    for (int i = 0; i < n.rank(0); ++i) out.axes.push_back(i);
  return out;
}

Value Fold(GraphBuilder& b, OpKind op, Value x, const Over& over) {
  return over.none ? x : b.Reduce(op, x, over.axes, over.keep_dims);
}
Value SumOf(GraphBuilder& b, Value x, const Over& over) {
  return Fold(b, OpKind::kReduceSum, x, over);
}

constexpr int kSince18 = 18, kSince13 = 13;

template <OpKind kKind, int kSince>
Results Plain(OpNode& n) {
  RLX_ASSIGN(const Over over, OverOf(n, kSince));
  return One(Fold(n.b, kKind, n.In(0), over));
}

// Greatest and least, of bools too.
template <OpKind kKind>
Results Extreme(OpNode& n) {
  RLX_ASSIGN(const Over over, OverOf(n, kSince18));
  if (n.dtype(0) != DType::kBool) return One(Fold(n.b, kKind, n.In(0), over));
  const Value bits = n.b.Cast(n.In(0), DType::kU8);
  return One(n.b.Cast(Fold(n.b, kKind, bits, over), DType::kBool));
}

Results Mean(OpNode& n) {
  RLX_ASSIGN(const Over over, OverOf(n, kSince18));
  if (IsFloat(n.dtype(0))) return One(Fold(n.b, OpKind::kReduceMean, n.In(0), over));
  const Value mean = Fold(n.b, OpKind::kReduceMean, n.b.Cast(n.In(0), DType::kF64), over);
  return One(n.b.Cast(mean, n.dtype(0)));
}

Results L1(OpNode& n) {
  RLX_ASSIGN(const Over over, OverOf(n, kSince18));
  return One(SumOf(n.b, n.b.Unary(OpKind::kAbs, n.In(0)), over));
}

Results SumSquare(OpNode& n) {
  RLX_ASSIGN(const Over over, OverOf(n, kSince18));
  return One(SumOf(n.b, n.b.Mul(n.In(0), n.In(0)), over));
}

Results L2(OpNode& n) {
  RLX_ASSIGN(const Over over, OverOf(n, kSince18));
  const DType dtype = IsFloat(n.dtype(0)) ? n.dtype(0) : DType::kF64;
  const Value x = To(n.b, n.In(0), dtype);
  return One(To(n.b, n.b.Unary(OpKind::kSqrt, SumOf(n.b, n.b.Mul(x, x), over)), n.dtype(0)));
}

Results LogSum(OpNode& n) {
  RLX_ASSIGN(const Over over, OverOf(n, kSince18));
  return One(n.b.Unary(OpKind::kLog, SumOf(n.b, n.In(0), over)));
}

Results LogSumExp(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(Over over, OverOf(n, kSince18));
  const Value x = n.In(0);
  if (over.none) return One(x);
  const bool keep = over.keep_dims;
  over.keep_dims = true;
  // The greatest is taken out first; where it is infinite that would be ∞ - ∞.
  const Value greatest = Fold(b, OpKind::kReduceMax, x, over);
  const Value finite = b.Emit(OpKind::kLt, {b.Unary(OpKind::kAbs, greatest), Like(b, x, INFINITY)});
  const Value shift = b.Where(finite, greatest, Like(b, x, 0));
  const Value sum = SumOf(b, b.Unary(OpKind::kExp, b.Sub(x, shift)), over);
  Value out = b.Add(b.Unary(OpKind::kLog, sum), shift);
  if (!keep) {
    over.keep_dims = false;  // drops the axes of extent 1
    out = Fold(b, OpKind::kReduceMax, out, over);
  }
  return One(out);
}

// What folding no elements gives.
enum class Start : uint8_t { kZero, kOne, kLeast, kGreatest };

HostTensor StartOf(DType dtype, Start start) {
  if (start == Start::kZero || start == Start::kOne)
    return HostTensor::FromDoubles(dtype, {}, {start == Start::kOne ? 1.0 : 0.0});
  const bool least = start == Start::kLeast;
  if (IsFloat(dtype)) return HostTensor::FromDoubles(dtype, {}, {least ? -INFINITY : INFINITY});
  if (dtype == DType::kBool) return HostTensor::FromInts(dtype, {}, {least ? 0 : 1});
  const int bits = 8 * ByteWidth(dtype) - (Info(dtype).is_signed ? 1 : 0);
  const auto greatest = static_cast<int64_t>((uint64_t{1} << bits) - 1);
  return HostTensor::FromInts(dtype, {},
                              {!least                  ? greatest
                               : Info(dtype).is_signed ? -greatest - 1
                                                       : 0});
}

absl::Status FoldNothing(OpNode& n, const Over& over, Start start) {
  const std::vector<int64_t> dims = n.tensor(0)->constant->dims();
  std::vector<int64_t> out;
  for (int64_t i = 0; i < static_cast<int64_t>(dims.size()); ++i) {
    const bool folded = !over.none && std::count(over.axes.begin(), over.axes.end(), i) > 0;
    if (folded && over.keep_dims) out.push_back(1);
    if (!folded) out.push_back(dims[static_cast<size_t>(i)]);
  }
  if (std::count(out.begin(), out.end(), 0) > 0) {
    n.SetEmpty(0, n.dtype(0), std::move(out), n.element(0));
    return absl::OkStatus();
  }
  const auto count = CheckedProduct(out);
  if (!count || *count > kMaxPlaces) return Unimplemented("a result of that many elements");
  const HostTensor one = StartOf(n.dtype(0), start);
  const auto size = static_cast<size_t>(*count);
  n.SetKnown(0,
             IsExact(one.dtype())
                 ? HostTensor::FromInts(one.dtype(), out, std::vector(size, one.ToInts()[0]))
                 : HostTensor::FromDoubles(one.dtype(), out, std::vector(size, one.ToDoubles()[0])),
             n.element(0));
  return absl::OkStatus();
}

// As kImport does, and `kStart` where there are no elements.
template <Results (*kImport)(OpNode&), Start kStart, int kSince = kSince18>
Results Reduced(OpNode& n) {
  if (!n.IsEmpty(0)) return kImport(n);
  RLX_ASSIGN(const Over over, OverOf(n, kSince));
  RLX_TRY(FoldNothing(n, over, kStart));
  return std::vector<Value>{};
}

std::optional<DimTensor> FoldProd(const OpNode& n) {
  const auto x = n.Dims(0);
  const auto over = OverOf(n, kSince18);
  if (!x || !over.ok() || over->none || x->rank != 1) return {};
  Dim product(1);
  for (const Dim& dim : x->elements) product = product * dim;
  if (product.is_overflow()) return {};
  return DimTensor{x->dtype, over->keep_dims ? 1 : 0, {product}};
}

// --- Positions ---

Value Reversed(GraphBuilder& b, Value x, int64_t axis, int64_t extent) {
  return Strided(b, x, axis, extent - 1, -1, extent);
}

// In the opposite order; of integers as i64: -1 - x, which never overflows.
Value Turned(GraphBuilder& b, Value x) {
  if (IsFloat(b.type(x).dtype)) return b.Unary(OpKind::kNeg, x);
  x = To(b, x, DType::kI64);
  return b.Sub(Like(b, x, -1), x);
}

template <bool kGreatest>
Results Arg(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const int64_t axis, n.Axis(n.Int("axis", 0), n.rank(0)));
  Value x = n.In(0);
  if (!kGreatest) x = Turned(b, x);
  const Dim& extent = n.shape(0)[static_cast<size_t>(axis)];
  const bool last = n.Int("select_last_index", 0) != 0;
  if (last) {
    if (!extent.is_static()) return Unimplemented("select_last_index of extent ", extent);
    x = Reversed(b, x, axis, extent.value());
  }
  Value place = Second(b.EmitAll(OpKind::kTopK, {x}, {{"k", int64_t{1}}, {"axis", axis}}));
  if (last) place = b.Sub(Like(b, place, static_cast<double>(extent.value() - 1)), place);
  if (n.Int("keepdims", 1) != 0) return One(place);
  Shape shape = ShapeOf(b, place);
  shape.erase(shape.begin() + axis);
  return One(b.Reshape(place, std::move(shape)));
}

Results TopK(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const int64_t axis, n.Axis(n.Int("axis", -1), n.rank(0)));
  int64_t k = n.Int("k", 0);
  if (n.opset >= 10) {
    if (!n.Has(1)) return InvalidArgument("operand 1 (k) is not given");
    RLX_ASSIGN(const std::vector<int64_t> given, n.Ints(1, "k"));
    if (given.size() != 1) return InvalidArgument("k has ", given.size(), " elements");
    k = given[0];
  }
  if (k < 1) return Unimplemented("k is ", k, "; supported is 1 and more");
  const bool largest = n.Int("largest", 1) != 0;
  const bool wide = n.element(0) == Element::kUint64;
  if (Find(n.element(0))->carried && !wide && n.element(0) != Element::kUint16)
    return Unimplemented("operand 0 is ", Name(n.element(0)), ", which this op does not take");
  Value x = n.In(0);
  if (wide) x = InOrder(b, x);
  if (!largest) x = Turned(b, x);
  std::vector<Value> out = b.EmitAll(OpKind::kTopK, {x}, {{"k", k}, {"axis", axis}});
  RLX_TRY(b.status());
  if (!largest) out[0] = Turned(b, out[0]);
  if (wide) out[0] = InOrder(b, out[0]);
  out[0] = To(b, out[0], n.dtype(0));
  n.SetElement(0, n.element(0));
  return out;
}

// --- Running sums and products ---

struct Running {
  int64_t axis = 0, extent = 0;
  bool exclusive = false, reverse = false;
};

absl::StatusOr<Running> RunningOf(const OpNode& n) {
  RLX_ASSIGN(const std::vector<int64_t> given, n.Ints(1, "axis"));
  if (given.size() != 1) return InvalidArgument("axis has ", given.size(), " elements");
  Running out{.exclusive = n.Int("exclusive", 0) != 0, .reverse = n.Int("reverse", 0) != 0};
  RLX_ASSIGN(out.axis, n.Axis(given[0], n.rank(0)));
  const Dim& extent = n.shape(0)[static_cast<size_t>(out.axis)];
  if (extent.is_static()) out.extent = extent.value();
  if (out.reverse && out.extent == 0) return Unimplemented("reverse along extent ", extent);
  return out;
}

Results CumSum(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const Running r, RunningOf(n));
  Value x = n.In(0);
  if (r.reverse) x = Reversed(b, x, r.axis, r.extent);
  x = b.Emit(OpKind::kCumsum, {x}, {{"axis", r.axis}, {"exclusive", r.exclusive}});
  return One(r.reverse ? Reversed(b, x, r.axis, r.extent) : x);
}

// By doubling: after step s every element holds the product of the 2s before it and itself.
Results CumProd(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const Running r, RunningOf(n));
  if (r.extent == 0) return Unimplemented("a running product along a symbolic axis");
  Value x = n.In(0);
  if (r.reverse) x = Reversed(b, x, r.axis, r.extent);
  std::vector<int64_t> before(static_cast<size_t>(n.rank(0)), 0), after = before;
  const auto at = static_cast<size_t>(r.axis);
  const auto shifted = [&](Value v, int64_t by) {
    before[at] = by;
    after[at] = -by;
    return PadWith(b, v, before, after, Like(b, v, 1));
  };
  if (r.exclusive && r.extent > 1) x = shifted(x, 1);
  if (r.exclusive && r.extent == 1) x = b.Expand(Like(b, x, 1), n.shape(0));
  for (int64_t step = 1; step < r.extent; step *= 2) x = b.Mul(x, shifted(x, step));
  return One(r.reverse ? Reversed(b, x, r.axis, r.extent) : x);
}

constexpr std::string_view kReduce = "axes keepdims noop_with_empty_axes";

constexpr OpRow kRows[] = {
    {kOnnx, "ArgMax", 7, INT32_MAX, 1, 1, "axis keepdims select_last_index", Arg<true>},
    {kOnnx, "ArgMin", 7, INT32_MAX, 1, 1, "axis keepdims select_last_index", Arg<false>},
    {kOnnx, "CumProd", 26, INT32_MAX, 2, 2, "exclusive reverse", CumProd},
    {kOnnx, "CumSum", 11, INT32_MAX, 2, 2, "exclusive reverse", CumSum},
    {kOnnx, "ReduceL1", 7, INT32_MAX, 1, 2, kReduce, Reduced<L1, Start::kZero>},
    {kOnnx, "ReduceL2", 7, INT32_MAX, 1, 2, kReduce, Reduced<L2, Start::kZero>},
    {kOnnx, "ReduceLogSum", 7, INT32_MAX, 1, 2, kReduce, Reduced<LogSum, Start::kLeast>},
    {kOnnx, "ReduceLogSumExp", 7, INT32_MAX, 1, 2, kReduce, Reduced<LogSumExp, Start::kLeast>},
    {kOnnx, "ReduceMax", 7, INT32_MAX, 1, 2, kReduce,
     Reduced<Extreme<OpKind::kReduceMax>, Start::kLeast>},
    {kOnnx, "ReduceMean", 7, INT32_MAX, 1, 2, kReduce, Mean},
    {kOnnx, "ReduceMin", 7, INT32_MAX, 1, 2, kReduce,
     Reduced<Extreme<OpKind::kReduceMin>, Start::kGreatest>},
    {kOnnx, "ReduceProd", 7, INT32_MAX, 1, 2, kReduce,
     Reduced<Plain<OpKind::kReduceProd, kSince18>, Start::kOne>, FoldProd},
    {kOnnx, "ReduceSum", 7, INT32_MAX, 1, 2, kReduce,
     Reduced<Plain<OpKind::kReduceSum, kSince13>, Start::kZero, kSince13>},
    {kOnnx, "ReduceSumSquare", 7, INT32_MAX, 1, 2, kReduce, Reduced<SumSquare, Start::kZero>},
    {kOnnx, "TopK", 7, INT32_MAX, 1, 2, "axis k largest sorted", TopK, nullptr, Carries::kSelf,
     "k has to be known"},
};

}  // namespace

std::span<const OpRow> ReduceOps() { return kRows; }

}  // namespace rlx::onnx
