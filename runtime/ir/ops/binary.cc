// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <complex>

#include "runtime/base/status.h"
#include "runtime/ir/ops/elementwise.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

using Complex = std::complex<double>;

uint64_t Bits(int64_t x) { return static_cast<uint64_t>(x); }
int64_t Wrap(uint64_t x) { return static_cast<int64_t>(x); }

// --- What the ops do to two elements. Integers wrap modulo 2^64 here and to their type after.
// --------

struct Add {
  double operator()(double a, double b) const { return a + b; }
  int64_t operator()(int64_t a, int64_t b) const { return Wrap(Bits(a) + Bits(b)); }
  Complex operator()(Complex a, Complex b) const { return a + b; }
};
struct Sub {
  double operator()(double a, double b) const { return a - b; }
  int64_t operator()(int64_t a, int64_t b) const { return Wrap(Bits(a) - Bits(b)); }
  Complex operator()(Complex a, Complex b) const { return a - b; }
};
struct Mul {
  double operator()(double a, double b) const { return a * b; }
  int64_t operator()(int64_t a, int64_t b) const { return Wrap(Bits(a) * Bits(b)); }
  Complex operator()(Complex a, Complex b) const { return a * b; }
};
struct Div {
  double operator()(double a, double b) const { return a / b; }
  int64_t operator()(int64_t a, int64_t b) const {
    if (b == 0) return 0;
    return b == -1 ? Wrap(0 - Bits(a)) : a / b;
  }
  Complex operator()(Complex a, Complex b) const { return a / b; }
};
// A NaN on either side gives NaN.
struct Max {
  double operator()(double a, double b) const { return std::isnan(a) || a > b ? a : b; }
  int64_t operator()(int64_t a, int64_t b) const { return a > b ? a : b; }
};
struct Min {
  double operator()(double a, double b) const { return std::isnan(a) || a < b ? a : b; }
  int64_t operator()(int64_t a, int64_t b) const { return a < b ? a : b; }
};
struct Pow {
  double operator()(double a, double b) const { return std::pow(a, b); }
  int64_t operator()(int64_t a, int64_t b) const {
    if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 == 0 ? 1 : -1) : 0;
    uint64_t power = 1;
    for (uint64_t square = Bits(a); b > 0; b >>= 1, square *= square)
      if (b & 1) power *= square;
    return Wrap(power);
  }
};
struct And {
  int64_t operator()(int64_t a, int64_t b) const { return a & b; }
};
struct Or {
  int64_t operator()(int64_t a, int64_t b) const { return a | b; }
};

template <class Op>
concept TakesComplex = std::is_invocable_v<Op, Complex, Complex> &&
                       std::is_same_v<std::invoke_result_t<Op, Complex, Complex>, Complex>;
template <class Op>
concept TakesBool = !std::is_same_v<std::invoke_result_t<Op, double, double>, double>;

// --- Arithmetic and logic
// ---------------------------------------------------------------------------

template <class Op>
absl::Status InferArithmetic(InferContext& ctx) {
  RLX_TRY(RequireSameDType(ctx, 0, 1));
  const DType dtype = ctx.operands[0].dtype;
  if (TakesBool<Op>)
    RLX_TRY(RequireBool(ctx, 0));
  else if (!TakesComplex<Op> || dtype != DType::kC64)
    RLX_TRY(RequireReal(ctx, 0));
  return InferBroadcast(ctx, dtype);
}

template <class Op>
absl::Status EvaluateArithmetic(EvalContext& ctx) {
  const EvalTensor &a = *ctx.operands[0], &b = *ctx.operands[1];
  EvalTensor& out = ctx.results[0];
  ForEachBroadcast(out, ctx.operands, [&](int64_t k, const std::vector<int64_t>& at) {
    const int64_t i = at[0], j = at[1];
    if (IsExact(out.dtype)) {
      out.i[k] = WrapToInt(out.dtype, Op{}(a.i[i], b.i[j]));
    } else if constexpr (TakesBool<Op>) {
      return;  // never: bools are exact
    } else if (out.dtype != DType::kC64) {
      out.f[k] = Op{}(a.f[i], b.f[j]);
    } else if constexpr (TakesComplex<Op>) {
      const Complex z =
          Op{}(Complex{a.f[2 * i], a.f[2 * i + 1]}, Complex{b.f[2 * j], b.f[2 * j + 1]});
      out.f[2 * k] = z.real();
      out.f[2 * k + 1] = z.imag();
    }
  });
  return absl::OkStatus();
}

// --- Comparison and choice
// --------------------------------------------------------------------------

template <bool kOrdered>
absl::Status InferCompare(InferContext& ctx) {
  RLX_TRY(RequireSameDType(ctx, 0, 1));
  if (kOrdered) RLX_TRY(RequireReal(ctx, 0));
  return InferBroadcast(ctx, DType::kBool);
}

template <class Relation>
absl::Status EvaluateCompare(EvalContext& ctx) {
  const EvalTensor &a = *ctx.operands[0], &b = *ctx.operands[1];
  EvalTensor& out = ctx.results[0];
  ForEachBroadcast(out, ctx.operands, [&](int64_t k, const std::vector<int64_t>& at) {
    const int64_t i = at[0], j = at[1];
    if (IsExact(a.dtype)) {
      out.i[k] = Relation{}(a.i[i], b.i[j]);
    } else if (a.dtype != DType::kC64) {
      out.i[k] = Relation{}(a.f[i], b.f[j]);
    } else {  // eq and ne alone
      const bool equal = a.f[2 * i] == b.f[2 * j] && a.f[2 * i + 1] == b.f[2 * j + 1];
      out.i[k] = Relation{}(equal, true);
    }
  });
  return absl::OkStatus();
}

absl::Status InferWhere(InferContext& ctx) {
  RLX_TRY(RequireBool(ctx, 0));
  RLX_TRY(RequireSameDType(ctx, 1, 2));
  return InferBroadcast(ctx, ctx.operands[1].dtype);
}

absl::Status EvaluateWhere(EvalContext& ctx) {
  ForEachBroadcast(ctx.results[0], ctx.operands, [&](int64_t k, const std::vector<int64_t>& at) {
    const int chosen = ctx.operands[0]->i[at[0]] != 0 ? 1 : 2;
    CopyElement(*ctx.operands[chosen], at[chosen], ctx.results[0], k);
  });
  return absl::OkStatus();
}

// --- Samples
// ----------------------------------------------------------------------------------------

// Two operands, of which either may stretch.
OpSample Pair(Rng& rng, DType dtype, double low, double high) {
  const Shape shape = DrawShape(rng, 0, 4);
  OpSample sample;
  for (const Shape& operand : {shape, DrawBroadcastable(rng, shape)})
    sample.operands.push_back(RealOperand(dtype, operand, low, high));
  if (Flip(rng)) std::swap(sample.operands[0], sample.operands[1]);
  return sample;
}

// Integers so large that products of the narrow ones wrap.
OpSample SampleOf(Rng& rng, DType dtype) {
  const double most = IsExact(dtype) ? 100 : 2;
  return Pair(rng, dtype, -most, most);
}
OpSample SampleArithmetic(Rng& rng) { return SampleOf(rng, DrawNumber(rng)); }
OpSample SampleOrdered(Rng& rng) { return SampleOf(rng, DrawReal(rng)); }
OpSample SampleDiv(Rng& rng) {
  OpSample sample = SampleArithmetic(rng);
  const DType dtype = sample.operands[0].type.dtype;
  if (IsFloat(dtype)) sample.operands[1].low = 0.5;
  if (IsExact(dtype)) sample.operands[1].high = 3;  // often 0
  return sample;
}
// Of integers some powers wrap, and some exponents are negative.
OpSample SamplePow(Rng& rng) {
  const DType dtype = DrawReal(rng);
  OpSample sample = IsFloat(dtype) ? Pair(rng, dtype, -2, 2) : Pair(rng, dtype, -4, 40);
  sample.operands[0].high = IsFloat(dtype) ? 2 : 9;
  if (IsFloat(dtype)) sample.operands[0].low = 0.1;
  return sample;
}
OpSample SampleLogic(Rng& rng) { return Pair(rng, DType::kBool, 0, 1); }

OpSample SampleCompare(Rng& rng) {
  return Pair(rng, DrawReal(rng), -2, 2);  // integers are often equal
}
// Complex numbers that are all equal, or none.
OpSample SampleEqual(Rng& rng) {
  switch (Draw(rng, 0, 5)) {
    case 0:
      return SampleLogic(rng);
    case 1:
      return Pair(rng, DType::kC64, Flip(rng) ? 1 : -2, 1);
    default:
      return SampleCompare(rng);
  }
}

OpSample SampleWhere(Rng& rng) {
  const Shape shape = DrawShape(rng, 0, 4);
  OpSample sample;
  sample.operands.push_back(
      {.type = {DType::kBool, DrawBroadcastable(rng, shape)}, .low = 0, .high = 1});
  const DType dtype = DrawAny(rng);
  for (const Shape& operand : {shape, DrawBroadcastable(rng, shape)})
    sample.operands.push_back(AnyOperand(dtype, operand));
  if (Flip(rng)) std::swap(sample.operands[1], sample.operands[2]);
  return sample;
}

// --- Rows
// -------------------------------------------------------------------------------------------

using SampleFn = OpSample (*)(Rng&);

template <class Op>
constexpr OpInfo Arithmetic(OpKind kind, std::string_view name, SampleFn sample,
                            std::string_view doc, bool commutative = false) {
  return {.kind = kind,
          .name = name,
          .claim = "Binary",
          .op_class = OpClass::kElementwise,
          .min_operands = 2,
          .max_operands = 2,
          .commutative = commutative,
          .infer = InferArithmetic<Op>,
          .evaluate = EvaluateArithmetic<Op>,
          .sample = sample,
          .doc = doc};
}

template <class Relation>
constexpr OpInfo Comparison(OpKind kind, std::string_view name, bool ordered,
                            std::string_view doc) {
  return {.kind = kind,
          .name = name,
          .claim = "Compare",
          .op_class = OpClass::kElementwise,
          .min_operands = 2,
          .max_operands = 2,
          .commutative = !ordered,
          .infer = ordered ? InferCompare<true> : InferCompare<false>,
          .evaluate = EvaluateCompare<Relation>,
          .sample = ordered ? SampleCompare : SampleEqual,
          .doc = doc};
}

constexpr OpInfo kTable[] = {
    Arithmetic<Add>(OpKind::kAdd, "add", SampleArithmetic, "(a, b): a + b; integers wrap", true),
    Arithmetic<Sub>(OpKind::kSub, "sub", SampleArithmetic, "(a, b): a - b; integers wrap"),
    Arithmetic<Mul>(OpKind::kMul, "mul", SampleArithmetic, "(a, b): a·b; integers wrap", true),
    Arithmetic<Div>(OpKind::kDiv, "div", SampleDiv,
                    "(a, b): a/b; integers truncate towards zero, and x/0 is 0"),
    Arithmetic<Max>(OpKind::kMax, "max", SampleOrdered, "(a, b): the greater, NaN if either is",
                    true),
    Arithmetic<Min>(OpKind::kMin, "min", SampleOrdered, "(a, b): the lesser, NaN if either is",
                    true),
    Arithmetic<Pow>(
        OpKind::kPow, "pow", SamplePow,
        "(a, b): a^b; integers wrap, and a negative b gives 1/a^|b| truncated: ±1 where a "
        "is ±1, else 0, also where a is 0"),
    Arithmetic<And>(OpKind::kLogicalAnd, "logical_and", SampleLogic, "(a, b): both; bool", true),
    Arithmetic<Or>(OpKind::kLogicalOr, "logical_or", SampleLogic, "(a, b): either; bool", true),
    Comparison<std::equal_to<>>(OpKind::kEq, "eq", false, "(a, b): a = b, as bool"),
    Comparison<std::not_equal_to<>>(OpKind::kNe, "ne", false, "(a, b): a ≠ b, as bool"),
    Comparison<std::less<>>(OpKind::kLt, "lt", true, "(a, b): a < b, as bool"),
    Comparison<std::less_equal<>>(OpKind::kLe, "le", true, "(a, b): a ≤ b, as bool"),
    Comparison<std::greater<>>(OpKind::kGt, "gt", true, "(a, b): a > b, as bool"),
    Comparison<std::greater_equal<>>(OpKind::kGe, "ge", true, "(a, b): a ≥ b, as bool"),
    {.kind = OpKind::kWhere,
     .name = "where",
     .claim = "Where",
     .op_class = OpClass::kElementwise,
     .min_operands = 3,
     .max_operands = 3,
     .infer = InferWhere,
     .evaluate = EvaluateWhere,
     .sample = SampleWhere,
     .doc = "(condition, a, b): a where the bool condition holds, else b; all three broadcast"},
};

}  // namespace

std::span<const OpInfo> BinaryOps() { return kTable; }

}  // namespace rlx
