// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "runtime/import/ops/carried.h"
#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"

namespace rlx::onnx {
namespace {

// --- Folding of what shapes decide. ---

enum class Sign : uint8_t { kAdd, kSub, kMul, kDiv, kMin, kMax };

Dim Apply(Sign op, const Dim& a, const Dim& b) {
  switch (op) {
    case Sign::kAdd:
      return a + b;
    case Sign::kSub:
      return a - b;
    case Sign::kMul:
      return a * b;
    case Sign::kMin:
      return Min(a, b);
    case Sign::kMax:
      return Max(a, b);
    default:
      if (a.is_static() && b.is_static() && b.value() != 0 && a.value() != INT64_MIN)
        return a.value() / b.value();  // towards zero, as integers divide
      return FloorDiv(a, b);
  }
}

template <Sign kOp>
std::optional<DimTensor> FoldBinary(const OpNode& n) {
  std::optional<DimTensor> out = n.Dims(0);
  if (!out || !IsInteger(out->dtype)) return {};
  for (int i = 1; i < n.inputs(); ++i) {
    const auto b = n.Dims(i);
    if (!b || !IsInteger(b->dtype)) return {};
    if (out->size() == 0 || b->size() == 0) return {};
    const int64_t size = std::max(out->size(), b->size());
    if ((out->size() != size && out->size() != 1) || (b->size() != size && b->size() != 1))
      return {};
    DimTensor next{out->dtype, std::max(out->rank, b->rank), {}};
    for (int64_t k = 0; k < size; ++k) {
      const Dim& left = out->elements[out->size() == 1 ? 0 : static_cast<size_t>(k)];
      const Dim& right = b->elements[b->size() == 1 ? 0 : static_cast<size_t>(k)];
      next.elements.push_back(Apply(kOp, left, right));
      if (next.elements.back().is_overflow()) return {};
    }
    out = std::move(next);
  }
  return out;
}

// --- Unsigned integers that travel as others (element.h). ---

// UINT16 is exact in i32, and wraps here. UINT64 in i64 adds and multiplies as i64 does; where
// order matters kWide is what to do.
template <Results (*kImport)(OpNode&), Results (*kWide)(OpNode&) = kImport>
Results Unsigned(OpNode& n) {
  bool wide = false, narrow = false;
  for (int i = 0; i < n.inputs(); ++i) {
    if (!n.Has(i) || !Find(n.element(i))->carried) continue;
    wide = wide || n.element(i) == Element::kUint64;
    narrow = narrow || n.element(i) == Element::kUint16;
    if (n.element(i) == Element::kUint64 || n.element(i) == Element::kUint16) continue;
    return Unimplemented("operand ", i, " is ", Name(n.element(i)),
                         ", which this op does not take");
  }
  RLX_ASSIGN(std::vector<Value> out, wide ? kWide(n) : kImport(n));
  if (wide) n.SetElement(0, Element::kUint64);
  if (!narrow) return out;
  const Value modulus = Like(n.b, out[0], 65536);
  const auto rest = [&](Value v) { return n.b.Sub(v, n.b.Mul(n.b.Div(v, modulus), modulus)); };
  n.SetElement(0, Element::kUint16);
  return One(rest(n.b.Add(rest(out[0]), modulus)));
}

// x/y of UINT64; x/0 is 0.
Value WideQuotient(GraphBuilder& b, Value x, Value y) {
  const Value zero = Like(b, x, 0), one = Like(b, x, 1), two = Like(b, x, 2);
  const auto below = [&](Value v) { return b.Emit(OpKind::kLt, {v, zero}); };
  const auto not_less = [&](Value u, Value v) {
    return b.Emit(OpKind::kGe, {InOrder(b, u), InOrder(b, v)});
  };
  // x = 2^63 + rest: half of it divides as an i64 does, and what that leaves makes one more or
  // none.
  const Value rest = b.Sub(x, Like(b, x, -std::ldexp(1.0, 63)));
  const Value half = b.Add(b.Div(rest, two), Like(b, x, std::ldexp(1.0, 62)));
  const Value twice = b.Mul(b.Div(half, y), two);
  const Value more = not_less(b.Sub(x, b.Mul(twice, y)), y);
  const Value large =
      b.Where(b.Emit(OpKind::kEq, {y, zero}), zero, b.Add(twice, b.Where(more, one, zero)));
  const Value by_large = b.Where(not_less(x, y), one, zero);  // y is at least 2^63
  return b.Where(below(y), by_large, b.Where(below(x), large, b.Div(x, y)));
}

Results WideDiv(OpNode& n) { return One(WideQuotient(n.b, n.In(0), n.In(1))); }

Results WideMod(OpNode& n) {
  const Value x = n.In(0), y = n.In(1);
  return One(n.b.Sub(x, n.b.Mul(WideQuotient(n.b, x, y), y)));
}

template <OpKind kKind>
Results WideExtreme(OpNode& n) {
  Value out = InOrder(n.b, n.In(0));
  for (int i = 1; i < n.inputs(); ++i) {
    if (!n.Has(i)) return InvalidArgument("operand ", i, " is not given");
    out = n.b.Emit(kKind, {out, InOrder(n.b, n.In(i))});
  }
  return One(InOrder(n.b, out));
}

// --- The ops. ---

template <OpKind kKind>
Results Variadic(OpNode& n) {
  Value out = n.In(0);
  for (int i = 1; i < n.inputs(); ++i) {
    if (!n.Has(i)) return InvalidArgument("operand ", i, " is not given");
    out = n.b.Emit(kKind, {out, n.In(i)});
  }
  return One(out);
}

Results Mean(OpNode& n) {
  RLX_ASSIGN(const std::vector<Value> sum, Variadic<OpKind::kAdd>(n));
  return One(n.b.Div(sum[0], Like(n.b, sum[0], n.inputs())));
}

Value Trunc(GraphBuilder& b, Value x) {
  const Value negative = b.Emit(OpKind::kLt, {x, Like(b, x, 0)});
  return b.Where(negative, b.Unary(OpKind::kCeil, x), b.Unary(OpKind::kFloor, x));
}

Results Mod(OpNode& n) {
  GraphBuilder& b = n.b;
  const Value x = n.In(0), y = n.In(1);
  const bool c_like = n.Int("fmod", 0) != 0;
  if (IsFloat(n.dtype(0))) {
    const Value infinite = b.Emit(OpKind::kEq, {b.Unary(OpKind::kAbs, y), Like(b, y, INFINITY)});
    const Value finite = b.Emit(OpKind::kLt, {b.Unary(OpKind::kAbs, x), Like(b, x, INFINITY)});
    const Value whole = b.Mul(Trunc(b, b.Div(x, y)), y);
    const Value rest = b.Where(b.Emit(OpKind::kLogicalAnd, {infinite, finite}), x, b.Sub(x, whole));
    if (c_like) return One(rest);
    const Value zero = Like(b, x, 0);
    const Value other_side = b.Emit(
        OpKind::kLt, {b.Mul(b.Emit(OpKind::kMin, {b.Max(rest, Like(b, x, -1)), Like(b, x, 1)}),
                            b.Emit(OpKind::kMin, {b.Max(y, Like(b, x, -1)), Like(b, x, 1)})),
                      zero});
    return One(b.Where(other_side, b.Add(rest, y), rest));
  }
  const Value rest = b.Sub(x, b.Mul(b.Div(x, y), y));
  if (c_like || !Info(n.dtype(0)).is_signed) return One(rest);
  const Value zero = Like(b, x, 0);
  const Value differs =
      b.Emit(OpKind::kNe, {b.Emit(OpKind::kLt, {rest, zero}), b.Emit(OpKind::kLt, {y, zero})});
  const Value wrap = b.Emit(OpKind::kLogicalAnd, {differs, b.Emit(OpKind::kNe, {rest, zero})});
  return One(b.Add(rest, b.Where(wrap, b.Expand(y, ShapeOf(b, rest)), zero)));
}

// The exponent where it is one number and known.
std::optional<double> ScalarExponent(const OpNode& n) {
  if (!n.IsConstant(1)) return {};
  const auto values = n.Doubles(1, "exponent");
  if (!values.ok() || values->size() != 1 || n.rank(1) > n.rank(0)) return {};
  return (*values)[0];
}

Results Pow(OpNode& n) {
  GraphBuilder& b = n.b;
  const Element by = n.element(1);
  if (Find(n.element(0))->carried || (Find(by)->carried && by != Element::kUint64))
    return Unimplemented("operands ", Name(n.element(0)), " and ", Name(by));
  if (by == Element::kUint64) {
    const Value wide = b.Emit(OpKind::kPow, {To(b, n.In(0), DType::kF64), Decode(b, n.In(1), by)});
    return One(To(b, wide, n.dtype(0)));
  }
  const DType dtype = n.dtype(0);
  Value x = n.In(0);
  if (IsFloat(dtype)) {
    const auto exponent = ScalarExponent(n);
    if (exponent == 1.0) return One(x);
    if (exponent == 2.0) return One(b.Mul(x, x));
    if (exponent == 3.0) return One(b.Mul(b.Mul(x, x), x));
    if (exponent == 0.5) return One(b.Unary(OpKind::kSqrt, x));
    if (exponent == -0.5) return One(b.Unary(OpKind::kRsqrt, x));
    if (exponent == -1.0) return One(Reciprocal(b, x));
    return One(b.Emit(OpKind::kPow, {x, To(b, n.In(1), dtype)}));
  }
  // An integer raised to a float is computed as that float, to an integer in f64.
  const DType common = IsFloat(n.dtype(1)) ? Wide(n.dtype(1)) : DType::kF64;
  return One(To(b, b.Emit(OpKind::kPow, {To(b, x, common), To(b, n.In(1), common)}), dtype));
}

Results Sign_(OpNode& n) {
  GraphBuilder& b = n.b;
  const Value x = n.In(0), zero = Like(b, x, 0);
  const Value positive = To(b, b.Emit(OpKind::kGt, {x, zero}), n.dtype(0));
  if (!IsFloat(n.dtype(0)) && !Info(n.dtype(0)).is_signed) return One(positive);
  return One(b.Sub(positive, To(b, b.Emit(OpKind::kLt, {x, zero}), n.dtype(0))));
}

Results Reciprocal_(OpNode& n) { return One(Reciprocal(n.b, n.In(0))); }

Results Abs(OpNode& n) {
  if (IsInteger(n.dtype(0)) && !Info(n.dtype(0)).is_signed) return One(n.In(0));
  return One(n.b.Unary(OpKind::kAbs, n.In(0)));
}

Results Clip(OpNode& n) {
  GraphBuilder& b = n.b;
  Value x = n.In(0);
  if (n.opset < 11) {
    if (n.HasAttr("min")) x = b.Max(x, Like(b, x, n.Float("min", 0)));
    if (n.HasAttr("max")) x = b.Emit(OpKind::kMin, {x, Like(b, x, n.Float("max", 0))});
    return One(x);
  }
  if (n.Has(1)) x = b.Max(x, n.In(1));
  if (n.Has(2)) x = b.Emit(OpKind::kMin, {x, n.In(2)});
  return One(x);
}

// --- Hyperbolic and inverse functions. ---

Results Sinh(OpNode& n) {
  GraphBuilder& b = n.b;
  const Value x = n.In(0), e = b.Unary(OpKind::kExp, x);
  const Value far = b.Mul(b.Sub(e, Reciprocal(b, e)), Like(b, x, 0.5));
  // Near zero the difference cancels; the series does not: x(1 + x²/6(1 + x²/20(1 + x²/42))).
  const Value square = b.Mul(x, x);
  Value near = Like(b, x, 1);
  for (const double divisor : {42.0, 20.0, 6.0})
    near = b.Add(b.Mul(b.Mul(square, Like(b, x, 1 / divisor)), near), Like(b, x, 1));
  const Value small = b.Emit(OpKind::kLt, {b.Unary(OpKind::kAbs, x), Like(b, x, 0.5)});
  return One(b.Where(small, b.Mul(x, near), far));
}

Results Cosh(OpNode& n) {
  GraphBuilder& b = n.b;
  const Value e = b.Unary(OpKind::kExp, n.In(0));
  return One(b.Mul(b.Add(e, Reciprocal(b, e)), Like(b, e, 0.5)));
}

// √(1 - x²) as √((1-x)(1+x)).
Value Complement(GraphBuilder& b, Value x) {
  const Value one = Like(b, x, 1);
  return b.Unary(OpKind::kSqrt, b.Mul(b.Sub(one, x), b.Add(one, x)));
}

Results Asin(OpNode& n) {
  GraphBuilder& b = n.b;
  const Value x = n.In(0);
  const Value half = b.Div(x, b.Add(Like(b, x, 1), Complement(b, x)));
  return One(b.Mul(b.Unary(OpKind::kAtan, half), Like(b, x, 2)));
}

Results Acos(OpNode& n) {
  GraphBuilder& b = n.b;
  const Value x = n.In(0);
  const Value half = b.Div(Complement(b, x), b.Add(Like(b, x, 1), x));
  return One(b.Mul(b.Unary(OpKind::kAtan, half), Like(b, x, 2)));
}

Results Asinh(OpNode& n) {
  GraphBuilder& b = n.b;
  const Value x = n.In(0), a = b.Unary(OpKind::kAbs, x), one = Like(b, x, 1);
  const Value root = b.Unary(OpKind::kSqrt, b.Add(b.Mul(a, a), one));
  const Value y = b.Unary(OpKind::kLog, b.Add(a, root));
  return One(b.Where(b.Emit(OpKind::kLt, {x, Like(b, x, 0)}), b.Unary(OpKind::kNeg, y), y));
}

Results Acosh(OpNode& n) {
  GraphBuilder& b = n.b;
  const Value x = n.In(0), one = Like(b, x, 1);
  const Value root = b.Unary(OpKind::kSqrt, b.Mul(b.Sub(x, one), b.Add(x, one)));
  return One(b.Unary(OpKind::kLog, b.Add(x, root)));
}

Results Atanh(OpNode& n) {
  GraphBuilder& b = n.b;
  const Value x = n.In(0), one = Like(b, x, 1);
  const Value ratio = b.Div(b.Add(one, x), b.Sub(one, x));
  return One(b.Mul(b.Unary(OpKind::kLog, ratio), Like(b, x, 0.5)));
}

constexpr OpRow kRows[] = {
    {kOnnx, "Abs", 7, INT32_MAX, 1, 1, "", Abs},
    {kOnnx, "Acos", 7, INT32_MAX, 1, 1, "", Acos},
    {kOnnx, "Acosh", 9, INT32_MAX, 1, 1, "", Acosh},
    {kOnnx, "Add", 7, INT32_MAX, 2, 2, "", Unsigned<Binary<OpKind::kAdd>>, FoldBinary<Sign::kAdd>,
     Carries::kSelf},
    {kOnnx, "Asin", 7, INT32_MAX, 1, 1, "", Asin},
    {kOnnx, "Asinh", 9, INT32_MAX, 1, 1, "", Asinh},
    {kOnnx, "Atan", 7, INT32_MAX, 1, 1, "", Unary<OpKind::kAtan>},
    {kOnnx, "Atanh", 9, INT32_MAX, 1, 1, "", Atanh},
    {kOnnx, "Ceil", 7, INT32_MAX, 1, 1, "", Unary<OpKind::kCeil>},
    {kOnnx, "Clip", 7, INT32_MAX, 1, 3, "min max", Clip},
    {kOnnx, "Cos", 7, INT32_MAX, 1, 1, "", Unary<OpKind::kCos>},
    {kOnnx, "Cosh", 9, INT32_MAX, 1, 1, "", Cosh},
    {kOnnx, "Div", 7, INT32_MAX, 2, 2, "", Unsigned<Binary<OpKind::kDiv>, WideDiv>,
     FoldBinary<Sign::kDiv>, Carries::kSelf},
    {kOnnx, "Erf", 9, INT32_MAX, 1, 1, "", Unary<OpKind::kErf>},
    {kOnnx, "Exp", 7, INT32_MAX, 1, 1, "", Unary<OpKind::kExp>},
    {kOnnx, "Floor", 7, INT32_MAX, 1, 1, "", Unary<OpKind::kFloor>},
    {kOnnx, "Log", 7, INT32_MAX, 1, 1, "", Unary<OpKind::kLog>},
    {kOnnx, "Max", 7, INT32_MAX, 1, -1, "",
     Unsigned<Variadic<OpKind::kMax>, WideExtreme<OpKind::kMax>>, FoldBinary<Sign::kMax>,
     Carries::kSelf},
    {kOnnx, "Mean", 7, INT32_MAX, 1, -1, "", Mean},
    {kOnnx, "Min", 7, INT32_MAX, 1, -1, "",
     Unsigned<Variadic<OpKind::kMin>, WideExtreme<OpKind::kMin>>, FoldBinary<Sign::kMin>,
     Carries::kSelf},
    {kOnnx, "Mod", 10, INT32_MAX, 2, 2, "fmod", Unsigned<Mod, WideMod>, nullptr, Carries::kSelf},
    {kOnnx, "Mul", 7, INT32_MAX, 2, 2, "", Unsigned<Binary<OpKind::kMul>>, FoldBinary<Sign::kMul>,
     Carries::kSelf},
    {kOnnx, "Neg", 7, INT32_MAX, 1, 1, "", Unary<OpKind::kNeg>},
    {kOnnx, "Pow", 7, INT32_MAX, 2, 2, "", Pow, nullptr, Carries::kSelf},
    {kOnnx, "Reciprocal", 7, INT32_MAX, 1, 1, "", Reciprocal_},
    {kOnnx, "Round", 11, INT32_MAX, 1, 1, "", Unary<OpKind::kRound>},
    {kOnnx, "Sign", 9, INT32_MAX, 1, 1, "", Sign_},
    {kOnnx, "Sin", 7, INT32_MAX, 1, 1, "", Unary<OpKind::kSin>},
    {kOnnx, "Sinh", 9, INT32_MAX, 1, 1, "", Sinh},
    {kOnnx, "Sqrt", 7, INT32_MAX, 1, 1, "", Unary<OpKind::kSqrt>},
    {kOnnx, "Sub", 7, INT32_MAX, 2, 2, "", Unsigned<Binary<OpKind::kSub>>, FoldBinary<Sign::kSub>,
     Carries::kSelf},
    {kOnnx, "Sum", 7, INT32_MAX, 1, -1, "", Unsigned<Variadic<OpKind::kAdd>>,
     FoldBinary<Sign::kAdd>, Carries::kSelf},
    {kOnnx, "Tan", 7, INT32_MAX, 1, 1, "", Unary<OpKind::kTan>},
};

}  // namespace

std::span<const OpRow> ArithmeticOps() { return kRows; }

}  // namespace rlx::onnx
