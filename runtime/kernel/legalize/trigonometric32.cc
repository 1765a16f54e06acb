// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel/legalize/pieces.h"

namespace rlx::kernel {
namespace {

// Coefficients as in exp32.cc: minimax, for |r| <= pi / 4.
// (sin(r) - r) / r^3 in r^2: 5e-12; (cos(r) - 1 + r^2 / 2) / r^4 in r^2: 1e-10.
constexpr double kSin[] = {-0.166666672, 0.00833332911, -0.000198393114, 2.71811405e-06};
constexpr double kCos[] = {0.0416666456, -0.00138873153, 2.4433084e-05};
// (atan(x) - x) / x^3 in x^2, x <= 1: 4e-10.
constexpr double kAtan[] = {-0.333333284, 0.19999671,    -0.142798334, 0.110582255,   -0.0881110132,
                            0.0674162507, -0.0446904004, 0.0225403104, -0.0073181889, 0.0011138398};

constexpr double kTwoOverPi = 0.63661977236758134;
constexpr double kMagic = 6755399441055744;  // 1.5 * 2^52, as in exp32.cc
// pi / 2 in three parts, the first two of 24 bits: their products with n < 2^28 are exact.
constexpr double kHalfPi[] = {0x1.921fb6p+0, -0x1.777a5cp-25, -0x1.ee59d9cceba4p-50};
// From here on the three parts are not enough.
constexpr float kLargest = 134217728;  // 2^27

// x = quadrant * pi / 2 + rest.
struct Reduced {
  Value quadrant;  // i32, of which the last two bits count
  Value rest;      // f32
};

Reduced Reduce(Builder& b, Value x) {
  const auto f64 = [&](double v) { return b.Float(Type::kF64, v); };
  const Value wide = b.Cast(Type::kF64, x);
  const Value shifted = b.Add(b.Mul(wide, f64(kTwoOverPi)), f64(kMagic));
  const Value n = b.Sub(shifted, f64(kMagic));
  Value rest = wide;
  for (double part : kHalfPi) rest = b.Sub(rest, b.Mul(n, f64(part)));
  const Value quadrant = b.Cast(Type::kI32, b.Bitcast(Type::kI64, shifted));
  return {quadrant, b.Cast(Type::kF32, rest)};
}

// -v where the second bit of `quadrant` is set.
Value Signed(Builder& b, Value quadrant, Value v) {
  const Value sign = b.Binary(Op::kShl, b.And(quadrant, b.I32(2)), b.I32(30));
  return b.Bitcast(Type::kF32, b.Binary(Op::kXor, b.Bitcast(Type::kI32, v), sign));
}

Value OfReduced(Builder& b, Op op, const Reduced& reduced) {
  const Value r = reduced.rest;
  const Value square = b.Mul(r, r);
  const Value sin = b.Fma(b.Mul(square, r), Horner(b, square, kSin), r);
  const Value near_one = b.Fma(b.F32(-0.5F), square, b.F32(1));
  const Value cos = b.Fma(b.Mul(square, square), Horner(b, square, kCos), near_one);
  const Value odd = b.Eq(b.And(reduced.quadrant, b.I32(1)), b.I32(1));
  if (op == Op::kSin) return Signed(b, reduced.quadrant, b.Select(odd, cos, sin));
  if (op == Op::kCos) {
    return Signed(b, b.Add(reduced.quadrant, b.I32(1)), b.Select(odd, sin, cos));
  }
  return b.Div(b.Select(odd, b.Neg(cos), sin), b.Select(odd, sin, cos));
}

}  // namespace

Value Trigonometric32(Builder& b, Op op, Value x) {
  Value reduced = OfReduced(b, op, Reduce(b, x));
  // The reduction loses the sign of -0.
  if (op != Op::kCos) reduced = b.Select(b.Eq(x, b.F32(0)), x, reduced);
  const Value result = b.Cell(reduced);
  const Value small = b.Lt(b.Unary(Op::kAbs, x), b.F32(kLargest));
  b.If(b.Not(small), [&] {  // infinities and NaN too
    const Value exact = b.Unary(op, b.Cast(Type::kF64, x));
    b.Set(result, b.Cast(Type::kF32, exact));
  });
  return b.Get(result);
}

Value Atan32(Builder& b, Value x) {
  constexpr float kHalfPiHigh = 1.57079637F, kHalfPiLow = -4.37113883e-08F;
  const Value magnitude = b.Unary(Op::kAbs, x);
  const Value large = b.Gt(magnitude, b.F32(1));
  const Value u = b.Select(large, b.Div(b.F32(1), magnitude), magnitude);
  const Value square = b.Mul(u, u);
  const Value angle = b.Fma(b.Mul(square, u), Horner(b, square, kAtan), u);
  const Value rest = b.Sub(b.F32(kHalfPiHigh), b.Sub(angle, b.F32(kHalfPiLow)));
  return WithSignOf(b, b.Select(large, rest, angle), x);
}

}  // namespace rlx::kernel
