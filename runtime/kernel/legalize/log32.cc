// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "runtime/kernel/legalize/pieces.h"

namespace rlx::kernel {
namespace {

constexpr int kRootHalfBits = 0x3f3504f3;  // sqrt(1/2)
constexpr int kMantissa = 23;
constexpr float kSmallestNormal = 1.17549435e-38F;

// (ln(1 + f) - f + f^2 / 2) / f^3, sqrt(1/2) <= 1 + f <= sqrt(2): 7.5e-10.
constexpr double kLog[] = {0.333333135,  -0.250000089, 0.200021178,  -0.166679993, 0.142195612,
                           -0.124055386, 0.118880399,  -0.116759129, 0.0674724206};
// ln 2 in two parts, as in exp32.cc.
constexpr float kLn2High = 0.693359375F;
constexpr float kLn2Low = -2.12194440e-4F;

}  // namespace

// x = 2^e (1 + f).
Value Log32(Builder& b, Value x) {
  const Value subnormal = b.Lt(x, b.F32(kSmallestNormal));
  const Value scaled = b.Select(subnormal, b.Mul(x, b.F32(8388608.0F)), x);  // 2^23
  const Value bits = b.Bitcast(Type::kI32, scaled);
  const Value e = b.Binary(Op::kShr, b.Sub(bits, b.I32(kRootHalfBits)), b.I32(kMantissa));
  const Value mantissa = b.Sub(bits, b.Binary(Op::kShl, e, b.I32(kMantissa)));
  const Value f = b.Sub(b.Bitcast(Type::kF32, mantissa), b.F32(1));
  const Value exponent = b.Sub(b.Cast(Type::kF32, e), b.Select(subnormal, b.F32(23), b.F32(0)));
  const Value square = b.Mul(f, f);
  Value tail = b.Mul(b.Mul(square, f), Horner(b, f, kLog));
  tail = b.Fma(exponent, b.F32(kLn2Low), tail);
  tail = b.Fma(b.F32(-0.5F), square, tail);
  const Value log = b.Fma(exponent, b.F32(kLn2High), b.Add(f, tail));

  const float infinity = std::numeric_limits<float>::infinity();
  const Value finite = b.Select(b.Lt(x, b.F32(infinity)), log, b.F32(infinity));
  const Value undefined = b.F32(std::numeric_limits<float>::quiet_NaN());
  const Value at_most_zero = b.Select(b.Eq(x, b.F32(0)), b.F32(-infinity), undefined);
  return b.Select(b.Gt(x, b.F32(0)), finite, at_most_zero);
}

}  // namespace rlx::kernel
