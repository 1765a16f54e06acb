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

// An 8-bit float: how many of f32's last digits it drops, f32 numbers that decide, and what its
// codes are past the finite ones.
struct Fp8Format {
  int dropped;
  int64_t rebase;    // added to an f32's bits it moves the exponent to the format's
  int64_t normal;    // the least normal number, as f32 bits
  float last_place;  // whose last digit in f32 is the format's least number
  float widen;       // what its bits in f32's places are too small by
  int64_t special;   // codes from here on are not finite
  int64_t most, infinity, nan;
};
constexpr Fp8Format kE4M3 = {.dropped = 20,
                             .rebase = (7 - 127) * (int64_t{1} << 23),
                             .normal = 0x3c800000,
                             .last_place = 0x1p14F,
                             .widen = 0x1p120F,
                             .special = 0x7f,
                             .most = 0x7e,
                             .infinity = 0x7e,
                             .nan = 0x7f};
constexpr Fp8Format kE5M2 = {.dropped = 21,
                             .rebase = (15 - 127) * (int64_t{1} << 23),
                             .normal = 0x38800000,
                             .last_place = 0x1p7F,
                             .widen = 0x1p112F,
                             .special = 0x7c,
                             .most = 0x7b,
                             .infinity = 0x7c,
                             .nan = 0x7e};

Value WidenFp8(Builder& b, const Fp8Format& format, Value v) {
  const Value bits = b.Cast(Type::kU32, b.Bitcast(Type::kU8, v));
  const Value magnitude = b.And(bits, U32(b, 0x7f));
  const Value tiny = b.Bitcast(Type::kF32, Shl(b, magnitude, format.dropped));
  const Value finite = b.Bitcast(Type::kU32, b.Mul(tiny, b.F32(format.widen)));
  // Infinity has no fraction bits, NaN has; E4M3 has the NaN alone.
  const Value fraction = b.And(Shl(b, magnitude, format.dropped), U32(b, 0x7fffff));
  const Value other = b.Or(fraction, U32(b, 0x7f800000));
  const Value wide = b.Select(b.Lt(magnitude, U32(b, format.special)), finite, other);
  return b.Bitcast(Type::kF32, b.Or(wide, Shl(b, b.And(bits, U32(b, 0x80)), 24)));
}

Value NarrowToFp8(Builder& b, const Fp8Format& format, Type t, Value v) {
  const Value bits = b.Bitcast(Type::kU32, v);
  const Value magnitude = b.And(bits, U32(b, 0x7fffffff));
  const Value odd = b.And(Shr(b, magnitude, format.dropped), U32(b, 1));
  const int64_t half = (int64_t{1} << (format.dropped - 1)) - 1;
  const Value rebased = b.Add(b.Add(magnitude, U32(b, format.rebase + half)), odd);
  const Value normal = Shr(b, rebased, format.dropped);
  // As f16's subnormal numbers.
  const Value place = b.F32(format.last_place);
  const Value sum = b.Add(b.Bitcast(Type::kF32, magnitude), place);
  const Value subnormal = b.Sub(b.Bitcast(Type::kU32, sum), b.Bitcast(Type::kU32, place));
  const Value finite = b.Select(b.Lt(magnitude, U32(b, format.normal)), subnormal, normal);
  const Value saturated = b.Min(finite, U32(b, format.most));
  const Value infinity = U32(b, 0x7f800000);
  const Value special =
      b.Select(b.Lt(infinity, magnitude), U32(b, format.nan), U32(b, format.infinity));
  const Value narrow = b.Select(b.Lt(magnitude, infinity), saturated, special);
  const Value sign = b.And(Shr(b, bits, 24), U32(b, 0x80));
  return b.Bitcast(t, b.Cast(Type::kU8, b.Or(narrow, sign)));
}

// f64 as the f32 from which every narrow type rounds as from the f64 itself: cut off, and the last
// digit set where that lost anything, so that no tie is made and none hidden.
Value RoundToOdd(Builder& b, Value v) {
  const Value nearest = b.Cast(Type::kF32, v);
  const Value back = b.Cast(Type::kF64, nearest);
  const Value bits = b.Bitcast(Type::kU32, nearest);
  const Value above = b.Lt(b.Unary(Op::kAbs, v), b.Unary(Op::kAbs, back));
  const Value cut = b.Select(above, b.Sub(bits, U32(b, 1)), bits);
  const Value odd = b.Select(b.Ne(back, v), b.Or(cut, U32(b, 1)), bits);
  return b.Bitcast(Type::kF32, odd);
}

Value Widen(Builder& b, Type narrow, Value v) {
  if (narrow == Type::kF16) return WidenF16(b, v);
  if (narrow == Type::kBF16) return WidenBF16(b, v);
  return WidenFp8(b, narrow == Type::kFp8E4M3 ? kE4M3 : kE5M2, v);
}

Value Narrow(Builder& b, Type narrow, Value v) {
  if (narrow == Type::kF16) return NarrowToF16(b, v);
  if (narrow == Type::kBF16) return NarrowToBF16(b, v);
  return NarrowToFp8(b, narrow == Type::kFp8E4M3 ? kE4M3 : kE5M2, narrow, v);
}

// A cast goes by way of f32; a side that is not in `narrow` is left as a cast.
template <TypeSet narrow>
Value ReplaceCast(Builder& b, const Inst& inst) {
  if (inst.op != Op::kCast) return {};
  const Type from = b.TypeOf(inst.a);
  if (from == inst.type) return {};
  if (!Has(narrow, from) && !Has(narrow, inst.type)) return {};
  Value single = inst.a;
  if (Has(narrow, from)) {
    single = Widen(b, from, inst.a);
  } else {
    single = from == Type::kF64 ? RoundToOdd(b, inst.a) : b.Cast(Type::kF32, inst.a);
  }
  return Has(narrow, inst.type) ? Narrow(b, inst.type, single) : b.Cast(inst.type, single);
}

}  // namespace

absl::StatusOr<Kernel> ExpandF16(const Kernel& kernel) {
  return Rewrite(kernel, ReplaceCast<Bit(Type::kF16)>);
}

absl::StatusOr<Kernel> ExpandBF16(const Kernel& kernel) {
  return Rewrite(kernel, ReplaceCast<Bit(Type::kBF16)>);
}

absl::StatusOr<Kernel> ExpandFp8(const Kernel& kernel) {
  return Rewrite(kernel, ReplaceCast<kFp8>);
}

}  // namespace rlx::kernel
