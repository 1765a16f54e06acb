// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel/legalize/legalize.h"
#include "runtime/kernel/legalize/rewrite.h"

namespace rlx::kernel {
namespace {

Value U32(Builder& b, int64_t v) { return b.Int(Type::kU32, v); }
Value Shl(Builder& b, Value v, int by) { return b.Binary(Op::kShl, v, U32(b, by)); }
Value Shr(Builder& b, Value v, int by) { return b.Binary(Op::kShr, v, U32(b, by)); }

// The sixteen bits of a narrow float, in the low half of a u32.
Value BitsOf(Builder& b, Value narrow) {
  const Value bits = b.Cast(Type::kU32, b.Bitcast(Type::kI16, narrow));
  return b.And(bits, U32(b, 0xffff));
}

Value FromBits(Builder& b, Type t, Value bits) { return b.Bitcast(t, b.Cast(Type::kI16, bits)); }

Value WidenBF16(Builder& b, Value v) { return b.Bitcast(Type::kF32, Shl(b, BitsOf(b, v), 16)); }

// Half of what is dropped is added, less one bit when the last bit kept is even.
Value NarrowToBF16(Builder& b, Value v) {
  const Value bits = b.Bitcast(Type::kU32, v);
  const Value top = Shr(b, bits, 16);
  const Value odd = b.And(top, U32(b, 1));
  const Value rounded = Shr(b, b.Add(b.Add(bits, U32(b, 0x7fff)), odd), 16);
  const Value quiet = b.Or(top, U32(b, 0x40));
  return FromBits(b, Type::kBF16, b.Select(b.Ne(v, v), quiet, rounded));
}

// The bits in f32's places make a number 2^112 too small, subnormal ones included; infinity and NaN
// need f32's exponent.
Value WidenF16(Builder& b, Value v) {
  const Value bits = BitsOf(b, v);
  const Value magnitude = b.And(bits, U32(b, 0x7fff));
  const Value tiny = b.Bitcast(Type::kF32, Shl(b, magnitude, 13));
  const Value finite = b.Bitcast(Type::kU32, b.Mul(tiny, b.Float(Type::kF32, 0x1p112)));
  const Value infinite = b.Or(finite, U32(b, 0x7f800000));
  const Value wide = b.Select(b.Lt(magnitude, U32(b, 0x7c00)), finite, infinite);
  const Value sign = Shl(b, b.And(bits, U32(b, 0x8000)), 16);
  return b.Bitcast(Type::kF32, b.Or(wide, sign));
}

Value NarrowToF16(Builder& b, Value v) {
  const Value bits = b.Bitcast(Type::kU32, v);
  const Value magnitude = b.And(bits, U32(b, 0x7fffffff));
  // Normal: rebase the exponent and round as above.
  const Value odd = b.And(Shr(b, magnitude, 13), U32(b, 1));
  const Value rebased = b.Add(b.Add(magnitude, U32(b, ((15 - 127) << 23) + 0xfff)), odd);
  const Value normal = Shr(b, rebased, 13);
  // Below 2^-14: adding 1/2 puts the last place of f16's subnormal numbers at the last place of the
  // sum.
  const Value sum = b.Add(b.Bitcast(Type::kF32, magnitude), b.F32(0.5F));
  const Value subnormal = b.Sub(b.Bitcast(Type::kU32, sum), U32(b, 0x3f000000));
  const Value finite = b.Select(b.Lt(magnitude, U32(b, 0x38800000)), subnormal, normal);
  const Value special =
      b.Select(b.Lt(U32(b, 0x7f800000), magnitude), U32(b, 0x7e00), U32(b, 0x7c00));
  const Value narrow = b.Select(b.Lt(magnitude, U32(b, 0x47800000)), finite, special);
  const Value sign = b.And(Shr(b, bits, 16), U32(b, 0x8000));
  return FromBits(b, Type::kF16, b.Or(narrow, sign));
}

// A cast goes by way of f32; the side that is not `narrow` is left as a cast.
template <Type narrow>
Value ReplaceCast(Builder& b, const Inst& inst) {
  if (inst.op != Op::kCast) return {};
  constexpr bool kIsF16 = narrow == Type::kF16;
  if (b.TypeOf(inst.a) == narrow) {
    return b.Cast(inst.type, kIsF16 ? WidenF16(b, inst.a) : WidenBF16(b, inst.a));
  }
  if (inst.type != narrow) return {};
  const Value single = b.Cast(Type::kF32, inst.a);
  return kIsF16 ? NarrowToF16(b, single) : NarrowToBF16(b, single);
}

}  // namespace

absl::StatusOr<Kernel> ExpandF16(const Kernel& kernel) {
  return Rewrite(kernel, ReplaceCast<Type::kF16>);
}

absl::StatusOr<Kernel> ExpandBF16(const Kernel& kernel) {
  return Rewrite(kernel, ReplaceCast<Type::kBF16>);
}

}  // namespace rlx::kernel
