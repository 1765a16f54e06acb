// SPDX-License-Identifier: Apache-2.0
#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"

namespace rlx::onnx {
namespace {

// The product as numpy has it: a vector is a row on the left and a column on the right.
Value Product_(GraphBuilder& b, Value x, Value y) {
  const Shape xs = ShapeOf(b, x), ys = ShapeOf(b, y);
  if (xs.empty() || ys.empty()) {
    b.Fail(InvalidArgument("an operand is a scalar"));
    return x;
  }
  if (xs.size() == 1) x = b.Reshape(x, {Dim(1), xs[0]});
  if (ys.size() == 1) y = b.Reshape(y, {ys[0], Dim(1)});
  // Products of narrow integers are computed in i32.
  const DType dtype = b.type(x).dtype;
  const bool narrow = IsInteger(dtype) && ByteWidth(dtype) < 4;
  if (narrow) {
    x = b.Cast(x, DType::kI32);
    y = To(b, y, DType::kI32);
  }
  Value out = b.MatMul(x, y);
  Shape shape = ShapeOf(b, out);
  if (shape.size() < 2) return out;  // an error told the builder
  if (ys.size() == 1) shape.pop_back();
  if (xs.size() == 1) shape.erase(shape.end() - (ys.size() == 1 ? 1 : 2));
  if (shape != ShapeOf(b, out)) out = b.Reshape(out, std::move(shape));
  return narrow ? b.Cast(out, dtype) : out;
}

Results MatMul(OpNode& n) { return One(Product_(n.b, n.In(0), n.In(1))); }

Value SwapLast(GraphBuilder& b, Value x) {
  const int rank = b.type(x).rank();
  std::vector<int64_t> perm;
  for (int i = 0; i < rank; ++i) perm.push_back(i);
  if (rank >= 2) std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return b.Transpose(x, std::move(perm));
}

Value Times(GraphBuilder& b, Value x, double factor) {
  return factor == 1 ? x : b.Mul(x, Like(b, x, factor));
}

Results Gemm(OpNode& n) {
  if (n.rank(0) != 2 || n.rank(1) != 2)
    return InvalidArgument("operands 0 and 1 need rank 2, have ", n.rank(0), " and ", n.rank(1));
  const Value x = n.Int("transA", 0) != 0 ? SwapLast(n.b, n.In(0)) : n.In(0);
  const Value y = n.Int("transB", 0) != 0 ? SwapLast(n.b, n.In(1)) : n.In(1);
  Value out = Times(n.b, Product_(n.b, x, y), n.Float("alpha", 1));
  if (n.Has(2)) out = n.b.Add(out, Times(n.b, n.In(2), n.Float("beta", 1)));
  return One(out);
}

Results FusedMatMul(OpNode& n) {
  if (n.Int("transBatchA", 0) != 0 || n.Int("transBatchB", 0) != 0)
    return Unimplemented("attributes transBatchA and transBatchB have to be 0");
  const Value x = n.Int("transA", 0) != 0 ? SwapLast(n.b, n.In(0)) : n.In(0);
  const Value y = n.Int("transB", 0) != 0 ? SwapLast(n.b, n.In(1)) : n.In(1);
  return One(Times(n.b, Product_(n.b, x, y), n.Float("alpha", 1)));
}

// Elimination with the greatest of each column brought up; one step after the other in the graph.
Results Det(OpNode& n) {
  GraphBuilder& b = n.b;
  const int rank = n.rank(0);
  constexpr int64_t kMost = 32;
  if (!IsFloat(n.dtype(0)) || rank < 2 ||
      n.shape(0)[static_cast<size_t>(rank) - 2] != n.shape(0).back() ||
      !n.shape(0).back().is_static() || n.shape(0).back().value() > kMost)
    return Unimplemented("operand 0 is ", n.type(0), "; supported are square matrices of up to ",
                         kMost, " rows");
  const int64_t size = n.shape(0).back().value();
  const int64_t rows = rank - 2, columns = rank - 1;
  Value a = To(b, n.In(0), Wide(n.dtype(0)));
  Value det;
  for (int64_t left = size; left > 0; --left) {
    const Value column = b.Narrow(a, columns, 0, 1), zero = Like(b, a, 0), one = Like(b, a, 1);
    const Value best = Second(b.EmitAll(OpKind::kTopK, {b.Unary(OpKind::kAbs, column)},
                                        {{"k", int64_t{1}}, {"axis", rows}}));
    const Value index = Along(b, EmitIota(b, Dim(left)), rows, rank);
    const Value is = b.Emit(OpKind::kEq, {index, best});  // [.., left, 1]
    const Value row = b.Reduce(OpKind::kReduceSum, b.Where(is, a, zero), {rows}, true);
    const Value pivot = b.Narrow(row, columns, 0, 1);
    const Value moved = b.Emit(OpKind::kNe, {best, Like(b, best, 0)});
    const Value factor = b.Where(moved, b.Unary(OpKind::kNeg, pivot), pivot);
    det = left == size ? factor : b.Mul(det, factor);
    if (left == 1) break;
    // The first row takes the place of the one brought up.
    const Value rest = b.Narrow(b.Where(is, b.Narrow(a, rows, 0, 1), a), rows, 1, left - 1);
    const Value safe = b.Where(b.Emit(OpKind::kEq, {pivot, zero}), one, pivot);
    const Value share = b.Div(b.Narrow(rest, columns, 0, 1), safe);
    a = b.Narrow(b.Sub(rest, b.Mul(share, row)), columns, 1, left - 1);
  }
  Shape shape = n.shape(0);
  shape.resize(static_cast<size_t>(rank) - 2);
  return One(To(b, b.Reshape(det, std::move(shape)), n.dtype(0)));
}

constexpr OpRow kRows[] = {
    {kOnnx, "Det", 11, INT32_MAX, 1, 1, "", Det, nullptr, Carries::kNo, "up to 32 rows"},
    {kOnnx, "Gemm", 7, INT32_MAX, 2, 3, "alpha beta transA transB", Gemm},
    {kOnnx, "MatMul", 7, INT32_MAX, 2, 2, "", MatMul},
    {kMicrosoft, "FusedMatMul", 1, INT32_MAX, 2, 2, "alpha transA transB transBatchA transBatchB",
     FusedMatMul, nullptr, Carries::kNo, "transBatchA and transBatchB have to be 0"},
};

}  // namespace

std::span<const OpRow> MatMulOps() { return kRows; }

}  // namespace rlx::onnx
