// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"

namespace rlx::onnx {
namespace {

// --- Folding: what the ranges of extents decide. ---

const Dim& At(const DimTensor& t, int64_t k) {
  return t.elements[t.size() == 1 ? 0 : static_cast<size_t>(k)];
}

std::optional<int64_t> CommonSize(const DimTensor& a, const DimTensor& b) {
  if (a.size() == 0 || b.size() == 0) return {};
  if (a.size() == b.size() || b.size() == 1) return a.size();
  return a.size() == 1 ? std::optional(b.size()) : std::nullopt;
}

template <class Holds>
std::optional<DimTensor> FoldCompare(const OpNode& n) {
  const auto a = n.Dims(0), b = n.Dims(1);
  if (!a || !b) return {};
  const auto size = CommonSize(*a, *b);
  if (!size) return {};
  DimTensor out{DType::kBool, std::max(a->rank, b->rank), {}};
  for (int64_t k = 0; k < *size; ++k) {
    const auto order = CompareDims(At(*a, k), At(*b, k), n.symbols());
    if (!order) return {};
    out.elements.emplace_back(Holds{}(*order, 0) ? 1 : 0);
  }
  return out;
}

std::optional<DimTensor> FoldNot(const OpNode& n) {
  auto x = n.Dims(0);
  if (!x || x->dtype != DType::kBool || !x->is_static()) return {};
  for (Dim& dim : x->elements) dim = 1 - dim.value();
  return x;
}

std::optional<DimTensor> FoldWhere(const OpNode& n) {
  const auto c = n.Dims(0), a = n.Dims(1), b = n.Dims(2);
  if (!c || !a || !b || !c->is_static()) return {};
  const auto left = CommonSize(*c, *a), size = left ? CommonSize(*a, *b) : std::nullopt;
  if (!size) return {};
  const int64_t most = std::max(*left, *size);
  DimTensor out{a->dtype, std::max({c->rank, a->rank, b->rank}), {}};
  for (int64_t k = 0; k < most; ++k)
    out.elements.push_back(At(*c, k).value() != 0 ? At(*a, k) : At(*b, k));
  return out;
}

// --- The ops. ---

// UINT16 is ordered in i32 as it is; UINT64 in i64 once its upper half is moved below zero.
template <OpKind kKind>
Results Compare(OpNode& n) {
  GraphBuilder& b = n.b;
  for (int i = 0; i < 2; ++i) {
    if (!Find(n.element(i))->carried || n.element(i) == Element::kUint16) continue;
    if (n.element(i) == Element::kUint64) continue;
    return Unimplemented("operand ", i, " is ", Name(n.element(i)),
                         ", which this op does not take");
  }
  const bool equality = kKind == OpKind::kEq;
  if (n.element(0) != Element::kUint64 || equality) return One(b.Emit(kKind, {n.In(0), n.In(1)}));
  return One(b.Emit(kKind, {InOrder(b, n.In(0)), InOrder(b, n.In(1))}));
}

Results Xor(OpNode& n) { return One(n.b.Emit(OpKind::kNe, {n.In(0), n.In(1)})); }

Results IsNaN(OpNode& n) { return One(n.b.Emit(OpKind::kNe, {n.In(0), n.In(0)})); }

Results IsInf(OpNode& n) {
  GraphBuilder& b = n.b;
  const Value x = n.In(0);
  const bool negative = n.Int("detect_negative", 1) != 0;
  const bool positive = n.Int("detect_positive", 1) != 0;
  const auto is = [&](Value of, double what) {
    return b.Emit(OpKind::kEq, {of, Like(b, x, what)});
  };
  if (negative && positive) return One(is(b.Unary(OpKind::kAbs, x), INFINITY));
  if (negative) return One(is(x, -INFINITY));
  if (positive) return One(is(x, INFINITY));
  return One(b.Emit(OpKind::kLogicalAnd,
                    {is(x, INFINITY), b.Unary(OpKind::kLogicalNot, is(x, INFINITY))}));
}

Results Where(OpNode& n) { return One(n.b.Where(n.In(0), n.In(1), n.In(2))); }

constexpr OpRow kRows[] = {
    {kOnnx, "And", 7, INT32_MAX, 2, 2, "", Binary<OpKind::kLogicalAnd>},
    {kOnnx, "Equal", 7, INT32_MAX, 2, 2, "", Compare<OpKind::kEq>, FoldCompare<std::equal_to<>>,
     Carries::kSelf},
    {kOnnx, "Greater", 7, INT32_MAX, 2, 2, "", Compare<OpKind::kGt>, FoldCompare<std::greater<>>,
     Carries::kSelf},
    {kOnnx, "GreaterOrEqual", 12, INT32_MAX, 2, 2, "", Compare<OpKind::kGe>,
     FoldCompare<std::greater_equal<>>, Carries::kSelf},
    {kOnnx, "IsInf", 10, INT32_MAX, 1, 1, "detect_negative detect_positive", IsInf},
    {kOnnx, "IsNaN", 9, INT32_MAX, 1, 1, "", IsNaN},
    {kOnnx, "Less", 7, INT32_MAX, 2, 2, "", Compare<OpKind::kLt>, FoldCompare<std::less<>>,
     Carries::kSelf},
    {kOnnx, "LessOrEqual", 12, INT32_MAX, 2, 2, "", Compare<OpKind::kLe>,
     FoldCompare<std::less_equal<>>, Carries::kSelf},
    {kOnnx, "Not", 7, INT32_MAX, 1, 1, "", Unary<OpKind::kLogicalNot>, FoldNot},
    {kOnnx, "Or", 7, INT32_MAX, 2, 2, "", Binary<OpKind::kLogicalOr>},
    {kOnnx, "Where", 9, INT32_MAX, 3, 3, "", Where, FoldWhere},
    {kOnnx, "Xor", 7, INT32_MAX, 2, 2, "", Xor},
};

}  // namespace

std::span<const OpRow> LogicOps() { return kRows; }

}  // namespace rlx::onnx
