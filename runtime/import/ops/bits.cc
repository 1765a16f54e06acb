// SPDX-License-Identifier: Apache-2.0
// Bits by arithmetic: the IR has no ops of their own for them.
#include <cmath>

#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"

namespace rlx::onnx {
namespace {

Value Ints(GraphBuilder& b, const std::vector<int64_t>& values) {
  return b.Constant(
      HostTensor::FromInts(DType::kI64, {static_cast<int64_t>(values.size())}, values));
}

// 2^k for the k in `places`, an i64 in 0 … 63; `down`: 2^(63-k).
Value PowerOfTwo(GraphBuilder& b, Value places, bool down = false) {
  std::vector<int64_t> powers;
  for (int k = 0; k < 64; ++k)
    powers.push_back(static_cast<int64_t>(uint64_t{1} << (down ? 63 - k : k)));
  return b.Gather(Ints(b, powers), places);
}

// x, an i64, modulo 2^bits, as an integer of that width with or without a sign.
Value WrapTo(GraphBuilder& b, Value x, int bits, bool is_signed) {
  const Value modulus = Like(b, x, std::ldexp(1.0, bits));
  const auto rest = [&](Value v) { return b.Sub(v, b.Mul(b.Div(v, modulus), modulus)); };
  const Value wrapped = rest(b.Add(rest(x), modulus));
  if (!is_signed) return wrapped;
  const Value high = b.Emit(OpKind::kGe, {wrapped, Like(b, x, std::ldexp(1.0, bits - 1))});
  return b.Where(high, b.Sub(wrapped, modulus), wrapped);
}

// floor(x / 2^k): ~(~x / 2^k) below zero, where ~x = -1 - x.
Value ShiftDown(GraphBuilder& b, Value x, Value k) {
  const Value power = PowerOfTwo(b, k), ones = Like(b, x, -1);
  const Value below = b.Sub(ones, b.Div(b.Sub(ones, x), power));
  return b.Where(b.Emit(OpKind::kLt, {x, Like(b, x, 0)}), below, b.Div(x, power));
}

// The same of UINT64: where the top bit is set, the rest moves down and the bit is put back.
Value ShiftDownUnsigned(GraphBuilder& b, Value x, Value k) {
  const Value power = PowerOfTwo(b, k), zero = Like(b, x, 0);
  const Value rest = b.Sub(x, Like(b, x, -std::ldexp(1.0, 63)));
  const Value moved = b.Add(b.Div(rest, power), PowerOfTwo(b, k, true));
  const Value high = b.Where(b.Emit(OpKind::kEq, {k, Like(b, k, 0)}), x, moved);
  return b.Where(b.Emit(OpKind::kLt, {x, zero}), high, b.Div(x, power));
}

absl::Status NeedInteger(const OpNode& n, int operands) {
  for (int i = 0; i < operands; ++i) {
    const ElementInfo& info = *Find(n.element(i));
    if (IsInteger(info.dtype) && (info.bits >= 8) && n.element(i) == n.element(0) &&
        (!info.carried || info.bits > 8))
      continue;
    return Unimplemented("operand ", i, " is ", info.name,
                         "; supported are integers of 8 to 64 bits, all the same");
  }
  return absl::OkStatus();
}

bool IsSigned(const OpNode& n) {
  const ElementInfo& info = *Find(n.element(0));
  return Info(info.dtype).is_signed && !info.carried;
}

// Shifts by fewer than no bits count as shifts by more than there are: all bits leave.
Results BitShift(OpNode& n) {
  RLX_TRY(NeedInteger(n, 2));
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const std::string direction, n.Choice("direction", "", {"LEFT", "RIGHT"}));
  n.SetElement(0, n.element(0));
  const int bits = Find(n.element(0))->bits;
  const Value x = To(b, n.In(0), DType::kI64), by = To(b, n.In(1), DType::kI64);
  const Value zero = Like(b, x, 0), last = Like(b, by, bits - 1);
  const Value beyond = b.Emit(OpKind::kLogicalOr, {b.Emit(OpKind::kLt, {by, Like(b, by, 0)}),
                                                   b.Emit(OpKind::kGt, {by, last})});
  const Value k = b.Where(beyond, last, by);
  if (direction == "RIGHT") {
    // By all bits but one a sign fills what it is to fill; without one, nothing is left of x.
    if (IsSigned(n)) return One(To(b, ShiftDown(b, x, k), n.dtype(0)));
    const Value down =
        n.element(0) == Element::kUint64 ? ShiftDownUnsigned(b, x, k) : ShiftDown(b, x, k);
    return One(To(b, b.Where(beyond, zero, down), n.dtype(0)));
  }
  Value up = b.Where(beyond, zero, b.Mul(x, PowerOfTwo(b, k)));  // wraps
  if (bits < 64) up = WrapTo(b, up, bits, IsSigned(n));
  return One(To(b, up, n.dtype(0)));
}

// Both as u32: four bits at a time, by a table of what each pair of fours gives.
Value AndOf(GraphBuilder& b, Value x, Value y, int bits) {
  std::vector<int64_t> fours;
  for (int64_t pair = 0; pair < 256; ++pair) fours.push_back((pair / 16) & (pair % 16));
  const Value table = b.Constant(HostTensor::FromInts(DType::kU32, {256}, fours));
  const Value sixteen = Like(b, x, 16);
  Value out;
  for (int k = 0; k < bits; k += 4) {
    const Value x_rest = b.Div(x, sixteen), y_rest = b.Div(y, sixteen);
    const Value x_four = b.Sub(x, b.Mul(x_rest, sixteen));
    const Value y_four = b.Sub(y, b.Mul(y_rest, sixteen));
    const Value pair = b.Cast(b.Add(b.Mul(x_four, sixteen), y_four), DType::kI32);
    const Value placed = b.Mul(b.Gather(table, pair), Like(b, x, std::ldexp(1.0, k)));
    out = k == 0 ? placed : b.Add(out, placed);
    x = x_rest;
    y = y_rest;
  }
  return out;
}

// The halves of i64 bits, each a u32.
struct Halves {
  Value low, high;
};
Halves HalvesOf(GraphBuilder& b, Value x) {
  const Value size = Like(b, x, std::ldexp(1.0, 32));
  const Value high = ShiftDown(b, x, Like(b, x, 32));
  const Value low = b.Sub(x, b.Mul(high, size));
  const Value plain = b.Where(b.Emit(OpKind::kLt, {high, Like(b, x, 0)}), b.Add(high, size), high);
  return {b.Cast(low, DType::kU32), b.Cast(plain, DType::kU32)};
}

Value WideAndOf(GraphBuilder& b, Value x, Value y) {
  const Halves left = HalvesOf(b, x), right = HalvesOf(b, y);
  const Value high = b.Cast(AndOf(b, left.high, right.high, 32), DType::kI64);
  const Value low = b.Cast(AndOf(b, left.low, right.low, 32), DType::kI64);
  return b.Add(b.Mul(high, Like(b, high, std::ldexp(1.0, 32))), low);
}

enum class Word : uint8_t { kAnd, kOr, kXor };

template <Word kWord>
Results Bitwise(OpNode& n) {
  RLX_TRY(NeedInteger(n, 2));
  GraphBuilder& b = n.b;
  n.SetElement(0, n.element(0));
  const int bits = Find(n.element(0))->bits;
  const DType dtype = bits == 64 ? DType::kI64 : DType::kU32;
  const Value x = To(b, n.In(0), dtype), y = To(b, n.In(1), dtype);
  Value out = bits == 64 ? WideAndOf(b, x, y) : AndOf(b, x, y, bits);
  // x + y = (x xor y) + 2 (x and y), modulo 2^32 or 2^64; and of bits above the type's nobody
  // hears.
  if (kWord == Word::kOr) out = b.Sub(b.Add(x, y), out);
  if (kWord == Word::kXor) out = b.Sub(b.Sub(b.Add(x, y), out), out);
  return One(To(b, out, n.dtype(0)));
}

Results BitwiseNot(OpNode& n) {
  RLX_TRY(NeedInteger(n, 1));
  GraphBuilder& b = n.b;
  const Value x = n.In(0);
  n.SetElement(0, n.element(0));
  const int bits = Find(n.element(0))->bits;
  const double all = IsSigned(n) || bits == 64 ? -1 : std::ldexp(1.0, bits) - 1;
  return One(b.Sub(Like(b, x, all), x));
}

// The same bits as another type of that width.
Results BitCast(OpNode& n) {
  const auto to = static_cast<Element>(n.Int("to", 0));
  const ElementInfo *from_info = Find(n.element(0)), *to_info = Find(to);
  if (to_info == nullptr || from_info->bits != to_info->bits)
    return InvalidArgument(from_info->name, " and ", Name(to), " differ in width");
  n.SetElement(0, to);
  GraphBuilder& b = n.b;
  if (n.element(0) == Element::kBool && to == Element::kUint8)
    return One(b.Cast(n.In(0), DType::kU8));
  const bool integers = IsInteger(from_info->dtype) && IsInteger(to_info->dtype);
  if (to == n.element(0) || from_info->dtype == to_info->dtype) {
    if (!integers || from_info->bits == 8 * ByteWidth(to_info->dtype)) return One(n.In(0));
  }
  if (!integers || from_info->carried != to_info->carried) {
    const bool halves = integers && from_info->bits == 16;
    if (!halves) return Unimplemented("a bit cast from ", from_info->name, " to ", to_info->name);
    if (to == Element::kInt16) return One(b.Cast(n.In(0), DType::kI16));
    const Value x = b.Cast(n.In(0), DType::kI32);
    const Value negative = b.Emit(OpKind::kLt, {x, Like(b, x, 0)});
    return One(b.Where(negative, b.Add(x, Like(b, x, 65536)), x));
  }
  return One(b.Cast(n.In(0), to_info->dtype));
}

constexpr std::string_view kNote = "8 to 64 bits";

constexpr OpRow kRows[] = {
    {kOnnx, "BitCast", 26, INT32_MAX, 1, 1, "to", BitCast, nullptr, Carries::kSelf,
     "between integers, and from bool"},
    {kOnnx, "BitShift", 11, INT32_MAX, 2, 2, "direction", BitShift, nullptr, Carries::kSelf, kNote},
    {kOnnx, "BitwiseAnd", 18, INT32_MAX, 2, 2, "", Bitwise<Word::kAnd>, nullptr, Carries::kSelf,
     kNote},
    {kOnnx, "BitwiseNot", 18, INT32_MAX, 1, 1, "", BitwiseNot, nullptr, Carries::kSelf, kNote},
    {kOnnx, "BitwiseOr", 18, INT32_MAX, 2, 2, "", Bitwise<Word::kOr>, nullptr, Carries::kSelf,
     kNote},
    {kOnnx, "BitwiseXor", 18, INT32_MAX, 2, 2, "", Bitwise<Word::kXor>, nullptr, Carries::kSelf,
     kNote},
};

}  // namespace

std::span<const OpRow> BitOps() { return kRows; }

}  // namespace rlx::onnx
