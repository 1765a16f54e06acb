// SPDX-License-Identifier: Apache-2.0
// Bits by arithmetic: the IR has no ops of their own for them.
#include <cmath>

#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"

namespace rlx::onnx {
namespace {

absl::Status NeedNarrow(const OpNode& n) {
  if (n.element(0) != Element::kUint64 && n.element(0) != Element::kInt64) return absl::OkStatus();
  return Unimplemented("operands of 64 bits are not supported; supported are 8 to 32");
}

// Shifts by as much as there are bits give 0.
Results BitShift(OpNode& n) {
  RLX_TRY(NeedNarrow(n));
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const std::string direction, n.Choice("direction", "", {"LEFT", "RIGHT"}));
  const Value x = b.Cast(n.In(0), DType::kI64), by = b.Cast(n.In(1), DType::kI64);
  const double bits = Find(n.element(0))->bits;
  const Value most = b.Emit(OpKind::kMin, {by, Like(b, by, bits)});
  const Value power = b.Cast(
      b.Emit(OpKind::kPow, {b.Scalar(DType::kF64, 2), b.Cast(most, DType::kF64)}), DType::kI64);
  n.SetElement(0, n.element(0));
  if (direction == "RIGHT") return One(b.Cast(b.Div(x, power), n.dtype(0)));
  const Value modulus = Like(b, x, std::ldexp(1.0, static_cast<int>(bits)));
  const Value shifted = b.Mul(x, power);
  return One(b.Cast(b.Sub(shifted, b.Mul(b.Div(shifted, modulus), modulus)), n.dtype(0)));
}

// Both as 32 bits without a sign.
Value AndOf(GraphBuilder& b, Value x, Value y, int bits) {
  const Value two = Like(b, x, 2);
  Value out;
  for (int k = 0; k < bits; ++k) {
    const Value x_half = b.Div(x, two), y_half = b.Div(y, two);
    const Value both = b.Mul(b.Sub(x, b.Mul(x_half, two)), b.Sub(y, b.Mul(y_half, two)));
    const Value placed = b.Mul(both, Like(b, x, std::ldexp(1.0, k)));
    out = k == 0 ? placed : b.Add(out, placed);
    x = x_half;
    y = y_half;
  }
  return out;
}

enum class Word : uint8_t { kAnd, kOr, kXor };

template <Word kWord>
Results Bitwise(OpNode& n) {
  RLX_TRY(NeedNarrow(n));
  GraphBuilder& b = n.b;
  n.SetElement(0, n.element(0));
  const Value x = b.Cast(n.In(0), DType::kU32), y = b.Cast(n.In(1), DType::kU32);
  Value out = AndOf(b, x, y, Find(n.element(0))->bits);
  // x + y = (x xor y) + 2 (x and y), modulo 2^32; and of bits above the type's nobody hears.
  if (kWord == Word::kOr) out = b.Sub(b.Add(x, y), out);
  if (kWord == Word::kXor) out = b.Sub(b.Sub(b.Add(x, y), out), out);
  return One(b.Cast(out, n.dtype(0)));
}

Results BitwiseNot(OpNode& n) {
  RLX_TRY(NeedNarrow(n));
  GraphBuilder& b = n.b;
  const Value x = n.In(0);
  n.SetElement(0, n.element(0));
  const bool is_signed = Info(n.dtype(0)).is_signed && n.element(0) != Element::kUint16;
  const double all = is_signed ? -1 : std::ldexp(1.0, Find(n.element(0))->bits) - 1;
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

constexpr std::string_view kNote = "8 to 32 bits";

constexpr OpRow kRows[] = {
    {kOnnx, "BitCast", 26, INT32_MAX, 1, 1, "to", BitCast, nullptr, Carries::kSelf,
     "between integers"},
    {kOnnx, "BitShift", 11, INT32_MAX, 2, 2, "direction", BitShift, nullptr, Carries::kSelf, kNote},
    {kOnnx, "BitwiseAnd", 18, INT32_MAX, 2, 2, "", Bitwise<Word::kAnd>, nullptr, Carries::kNo,
     kNote},
    {kOnnx, "BitwiseNot", 18, INT32_MAX, 1, 1, "", BitwiseNot, nullptr, Carries::kSelf, kNote},
    {kOnnx, "BitwiseOr", 18, INT32_MAX, 2, 2, "", Bitwise<Word::kOr>, nullptr, Carries::kNo, kNote},
    {kOnnx, "BitwiseXor", 18, INT32_MAX, 2, 2, "", Bitwise<Word::kXor>, nullptr, Carries::kNo,
     kNote},
};

}  // namespace

std::span<const OpRow> BitOps() { return kRows; }

}  // namespace rlx::onnx
