// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "runtime/kernel/legalize/pieces.h"

namespace rlx::kernel {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int64_t kRootHalfBits = 0x3fe6a09e667f3bcd;  // sqrt(1/2)
constexpr int64_t kOneBits = 0x3ff0000000000000;
constexpr int kMantissa = 52;
constexpr double kMagic = 6755399441055744;  // 1.5 * 2^52, as in exp32.cc

// Coefficients as in exp32.cc. log2((1 + s) / (1 - s)) / s in s^2, for arguments between sqrt(1/2)
// and sqrt(2): 2.7e-14.
constexpr double kLog2[] = {2.8853900817778499,  0.96179669411349378, 0.57707794231731202,
                            0.41220925752736975, 0.31990547213565512, 0.28290355664186084};
// 2^r, |r| <= 1/2: 4.0e-11.
constexpr double kExp2[] = {0.99999999996168754,    0.69314718072851789,   0.2402265119809768,
                            0.055504103531415147,   0.0096180272604326246, 0.001333392284344167,
                            0.00015469289406442466, 1.5201854450861377e-05};

Value F64(Builder& b, double v) { return b.Float(Type::kF64, v); }

// log2 of a positive number (every f32 is a normal f64), -inf of 0, inf of inf.
Value Log2(Builder& b, Value x) {
  const Value bits = b.Bitcast(Type::kI64, x);
  const Value e = b.Binary(Op::kShr, b.Sub(bits, b.I64(kRootHalfBits)), b.I64(kMantissa));
  const Value mantissa = b.Sub(bits, b.Binary(Op::kShl, e, b.I64(kMantissa)));
  const Value m = b.Bitcast(Type::kF64, mantissa);
  const Value s = b.Div(b.Sub(m, F64(b, 1)), b.Add(m, F64(b, 1)));
  // |e| is small: through i32, for which there is an instruction everywhere.
  const Value exponent = b.Cast(Type::kF64, b.Cast(Type::kI32, e));
  const Value log = b.Fma(s, Horner(b, b.Mul(s, s), kLog2), exponent);
  const Value finite = b.Select(b.Lt(x, F64(b, kInfinity)), log, x);
  return b.Select(b.Eq(x, F64(b, 0)), F64(b, -kInfinity), finite);
}

Value Exp2(Builder& b, Value x) {
  x = b.Min(F64(b, 200), b.Max(F64(b, -200), x));  // beyond what f32 holds either way
  const Value shifted = b.Add(x, F64(b, kMagic));
  const Value r = b.Sub(x, b.Sub(shifted, F64(b, kMagic)));
  const Value exponent = b.Binary(Op::kShl, b.Bitcast(Type::kI64, shifted), b.I64(kMantissa));
  const Value scale = b.Bitcast(Type::kF64, b.Add(exponent, b.I64(kOneBits)));
  return b.Mul(Horner(b, r, kExp2), scale);
}

}  // namespace

// 2^(y log2 |x|) in f64, then the sign, then C's special cases.
Value Pow32(Builder& b, Value x, Value y) {
  const Value magnitude = b.Unary(Op::kAbs, x);
  const Value log = Log2(b, b.Cast(Type::kF64, magnitude));
  const Value power = Exp2(b, b.Mul(b.Cast(Type::kF64, y), log));
  const Value size = b.Cast(Type::kF32, power);

  const Value whole = b.Eq(b.Unary(Op::kRound, y), y);
  const Value half = b.Mul(y, b.F32(0.5F));
  const Value odd = b.And(whole, b.Ne(b.Unary(Op::kRound, half), half));
  Value result = b.Select(odd, WithSignOf(b, size, x), size);
  const Value negative = b.And(b.Lt(x, b.F32(0)), b.Gt(x, b.Float(Type::kF32, -kInfinity)));
  const Value undefined = b.F32(std::numeric_limits<float>::quiet_NaN());
  result = b.Select(b.And(negative, b.Not(whole)), undefined, result);
  // Also for |x| = 1 and infinite y, where y log2 |x| is NaN.
  const Value infinite = b.Eq(b.Unary(Op::kAbs, y), b.Float(Type::kF32, kInfinity));
  const Value unit = b.And(b.Eq(magnitude, b.F32(1)), infinite);
  const Value one = b.Or(b.Or(b.Eq(y, b.F32(0)), b.Eq(x, b.F32(1))), unit);
  return b.Select(one, b.F32(1), result);
}

}  // namespace rlx::kernel
