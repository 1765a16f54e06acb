// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel/legalize/pieces.h"

// exp and what is made of it. Coefficients are minimax fits (Remez exchange) of the function named
// beside them, over the range named, for the smallest relative error of the whole.
namespace rlx::kernel {
namespace {

// Adding this to |x| < 2^22 leaves round(x) in the low bits of the sum.
constexpr double kMagic = 12582912;  // 1.5 * 2^23
constexpr int kMagicBits = 0x4b400000;
constexpr int kOneBits = 0x3f800000;
constexpr int kMantissa = 23;

constexpr double kLog2E = 1.4426950408889634;
// ln 2 in two parts, the first of nine bits: its product with a small integer is exact without fma.
constexpr double kLn2High = 0.693359375;
constexpr double kLn2Low = -2.12194440054690583e-4;

// (e^r - 1 - r) / r^2, |r| <= ln(2) / 2: 3.1e-9.
constexpr double kExp[] = {0.49999994, 0.166665196, 0.0416683927, 0.00836877991, 0.00138144963};
// (2^r - 1) / r, |r| <= 1/2: 2.0e-9.
constexpr double kExp2[] = {0.693147182,   0.240226477,   0.0555033199,
                            0.00961843878, 0.00133990031, 0.000153533372};
// (tanh(x) - x) / x^3 in x^2, x <= 0.55: 1.0e-9.
constexpr double kTanh[] = {-0.333333164, 0.13332586, -0.0538523085, 0.0210716762, -0.0062742359};
// erf(x) / x - 1 in x^2, x <= 0.92: 1.5e-8.
constexpr double kErf[] = {0.128379151,   -0.376124978,  0.112818457,
                           -0.0267677177, 0.00499482732, -0.00059993926};
// ln(erfc(x)) / x, 0.92 <= x <= 3.95: 2.9e-9 of erf.
constexpr double kErfTail[] = {-1.12851071,  -0.635731041,   -0.105244502,
                               0.0228785072, -0.00321128475, 0.000213528838};

// 2^n r for the integer n in `with_magic`, and where that would not be a normal number.
struct Split {
  Value with_magic;  // n + kMagic
  Value power;       // e^r or 2^r for the rest r
};

Split SplitExp(Builder& b, Value x) {
  const Value shifted = b.Fma(x, b.F32(static_cast<float>(kLog2E)), b.Float(Type::kF32, kMagic));
  const Value n = b.Sub(shifted, b.Float(Type::kF32, kMagic));
  Value r = b.Fma(n, b.Float(Type::kF32, -kLn2High), x);
  r = b.Fma(n, b.Float(Type::kF32, -kLn2Low), r);
  const Value tail = b.Fma(Horner(b, r, kExp), b.Mul(r, r), r);
  return {shifted, b.Add(tail, b.F32(1))};
}

// For -126 <= n <= 127.
Value ScaleNormal(Builder& b, const Split& split) {
  const Value bits = b.Bitcast(Type::kI32, split.with_magic);
  const Value exponent = b.Binary(Op::kShl, bits, b.I32(kMantissa));
  return b.Mul(split.power, b.Bitcast(Type::kF32, b.Add(exponent, b.I32(kOneBits))));
}

// For -252 <= n <= 254: in two steps, of which only the second can leave the normal numbers.
Value ScaleAny(Builder& b, const Split& split) {
  const Value n = b.Sub(b.Bitcast(Type::kI32, split.with_magic), b.I32(kMagicBits));
  const Value half = b.Binary(Op::kShr, n, b.I32(1));
  const auto power = [&](Value exponent) {
    const Value shifted = b.Binary(Op::kShl, exponent, b.I32(kMantissa));
    return b.Bitcast(Type::kF32, b.Add(shifted, b.I32(kOneBits)));
  };
  return b.Mul(b.Mul(split.power, power(half)), power(b.Sub(n, half)));
}

// kMin and kMax keep NaN, so that it comes out again.
Value Clamp(Builder& b, Value x, float low, float high) {
  return b.Min(b.F32(high), b.Max(b.F32(low), x));
}

}  // namespace

Value Exp32(Builder& b, Value x) { return ScaleAny(b, SplitExp(b, Clamp(b, x, -104, 89))); }

Value Exp2For32(Builder& b, Value x) {
  x = Clamp(b, x, -151, 129);
  const Value shifted = b.Add(x, b.Float(Type::kF32, kMagic));
  const Value r = b.Sub(x, b.Sub(shifted, b.Float(Type::kF32, kMagic)));
  return ScaleAny(b, {shifted, b.Fma(Horner(b, r, kExp2), r, b.F32(1))});
}

// 1 - 2 / (e^2x + 1), or a polynomial where that would cancel.
Value Tanh32(Builder& b, Value x) {
  const Value magnitude = b.Unary(Op::kAbs, x);
  const Value bounded = b.Min(b.F32(9.02F), magnitude);
  const Value e = ScaleNormal(b, SplitExp(b, b.Add(bounded, bounded)));
  const Value large = b.Sub(b.F32(1), b.Div(b.F32(2), b.Add(e, b.F32(1))));
  const Value square = b.Mul(x, x);
  const Value small = b.Fma(b.Mul(square, magnitude), Horner(b, square, kTanh), magnitude);
  return WithSignOf(b, b.Select(b.Lt(magnitude, b.F32(0.55F)), small, large), x);
}

// 1 - erfc(x), or a polynomial where that would cancel.
Value Erf32(Builder& b, Value x) {
  const Value magnitude = b.Unary(Op::kAbs, x);
  const Value bounded = b.Min(b.F32(3.95F), magnitude);
  const Value exponent = b.Mul(bounded, Horner(b, bounded, kErfTail));
  const Value large = b.Sub(b.F32(1), ScaleNormal(b, SplitExp(b, exponent)));
  const Value square = b.Mul(x, x);
  const Value small = b.Fma(magnitude, Horner(b, square, kErf), magnitude);
  return WithSignOf(b, b.Select(b.Lt(magnitude, b.F32(0.92F)), small, large), x);
}

}  // namespace rlx::kernel
