// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel/legalize/legalize.h"
#include "runtime/kernel/legalize/pieces.h"
#include "runtime/kernel/legalize/rewrite.h"

namespace rlx::kernel {
namespace {

// Adding 2^mantissa leaves no bits below one, and rounds half to even as it drops them. Larger
// numbers, infinities and NaN are their own.
Value RoundHalfToEven(Builder& b, Value x) {
  const Type t = b.TypeOf(x);
  const Value large = b.Float(t, t == Type::kF64 ? 0x1p52 : 0x1p23);
  const Value magnitude = b.Unary(Op::kAbs, x);
  const Value rounded = b.Sub(b.Add(magnitude, large), large);
  return b.Select(b.Lt(magnitude, large), WithSignOf(b, rounded, x), x);
}

}  // namespace

absl::StatusOr<Kernel> ExpandRounding(const Kernel& kernel) {
  return Rewrite(kernel, [](Builder& b, const Inst& inst) -> Value {
    const Value x = inst.a;
    const auto one = [&] { return b.Float(inst.type, 1); };
    switch (inst.op) {
      case Op::kRound:
        return RoundHalfToEven(b, x);
      case Op::kFloor: {
        const Value near = RoundHalfToEven(b, x);
        return b.Select(b.Gt(near, x), b.Sub(near, one()), near);
      }
      case Op::kCeil: {
        const Value near = RoundHalfToEven(b, x);
        // The sum of -1 and 1 would lose the sign of ceil(-0.7).
        return b.Select(b.Lt(near, x), WithSignOf(b, b.Unary(Op::kAbs, b.Add(near, one())), x),
                        near);
      }
      default:
        return {};
    }
  });
}

}  // namespace rlx::kernel
