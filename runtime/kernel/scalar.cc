// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel/scalar.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "runtime/base/check.h"
#include "runtime/tensor/float8.h"
#include "runtime/tensor/host_tensor.h"

namespace rlx::kernel {
namespace {

using enum Type;

int Width(Type t) { return 8 * ByteWidth(t); }

bool IsFloatType(Type t) { return Has(kFloats | kNarrowFloats, t); }
bool IsUnsigned(Type t) { return t == kU8 || t == kU32 || t == kBool; }

float AsFloat(Bits bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits)); }

// Both ends of an integer type as doubles; 2^63 stands for the largest i64.
struct Range {
  double low, high;
};
Range RangeOf(Type t) {
  const double span = std::ldexp(1.0, Width(t) - (IsUnsigned(t) ? 0 : 1));
  return {IsUnsigned(t) ? 0 : -span, span};
}

Bits FloatToInt(Type t, double v) {
  if (std::isnan(v)) return 0;
  const Range range = RangeOf(t);
  v = std::trunc(v);
  if (v >= range.high) {
    return t == kI64 ? std::numeric_limits<int64_t>::max() : static_cast<Bits>(range.high - 1);
  }
  return static_cast<Bits>(v < range.low ? range.low : v);
}

Bits Cast(Type to, Type from, Bits bits) {
  if (IsFloatType(from)) {
    return EncodeFloat(to, ToDouble(from, bits));
  }
  if (to == kF32) return EncodeInt(to, bits);
  return IsFloatType(to) ? EncodeFloat(to, static_cast<double>(bits)) : EncodeInt(to, bits);
}

// Bits of one type read as another of the same width.
Bits Bitcast(Type to, Type from, Bits bits) {
  unsigned char memory[8];
  StoreScalar(from, bits, memory);
  return LoadScalar(to, memory);
}

double MathOf(Op op, double a, double b) {
  switch (op) {
    case Op::kSqrt:
      return std::sqrt(a);
    case Op::kRsqrt:
      return 1 / std::sqrt(a);
    case Op::kExp:
      return std::exp(a);
    case Op::kExp2:
      return std::exp2(a);
    case Op::kLog:
      return std::log(a);
    case Op::kSin:
      return std::sin(a);
    case Op::kCos:
      return std::cos(a);
    case Op::kTan:
      return std::tan(a);
    case Op::kAtan:
      return std::atan(a);
    case Op::kTanh:
      return std::tanh(a);
    case Op::kErf:
      return std::erf(a);
    case Op::kPow:
      return std::pow(a, b);
    case Op::kFloor:
      return std::floor(a);
    case Op::kCeil:
      return std::ceil(a);
    case Op::kRound:
      return std::nearbyint(a);
    default:
      CHECK(false, Name(op), " is not a function of floats");
      return 0;
  }
}

Bits FloatOp(Op op, Type t, const std::array<Bits, 3>& operands) {
  const double a = ToDouble(t, operands[0]), b = ToDouble(t, operands[1]);
  const bool nan = std::isnan(a) || std::isnan(b);
  switch (op) {
    case Op::kEq:
      return a == b;
    case Op::kNe:
      return a != b;
    case Op::kLt:
      return a < b;
    case Op::kLe:
      return a <= b;
    case Op::kAdd:
    case Op::kReduceAdd:
      return EncodeFloat(t, a + b);
    case Op::kSub:
      return EncodeFloat(t, a - b);
    case Op::kMul:
    case Op::kReduceMul:
      return EncodeFloat(t, a * b);
    case Op::kDiv:
      return EncodeFloat(t, a / b);
    case Op::kMin:
    case Op::kReduceMin:
      return EncodeFloat(t, nan ? a + b : (a < b ? a : b));
    case Op::kMax:
    case Op::kReduceMax:
      return EncodeFloat(t, nan ? a + b : (a > b ? a : b));
    case Op::kNeg:
      return EncodeFloat(t, -a);
    case Op::kAbs:
      return EncodeFloat(t, std::fabs(a));
    case Op::kFma:
      if (t == kF64) return EncodeFloat(t, std::fma(a, b, ToDouble(t, operands[2])));
      return EncodeFloat(
          t, std::fmaf(AsFloat(operands[0]), AsFloat(operands[1]), AsFloat(operands[2])));
    default:
      return EncodeFloat(t, MathOf(op, a, b));
  }
}

// Two's complement with 64 bits; the caller wraps to the type.
Bits IntOp(Op op, Type t, Bits a, Bits b) {
  const auto ua = static_cast<uint64_t>(a), ub = static_cast<uint64_t>(b);
  const int shift = static_cast<int>(ub & static_cast<uint64_t>(Width(t) - 1));
  switch (op) {
    case Op::kEq:
      return a == b;
    case Op::kNe:
      return a != b;
    case Op::kLt:
      return a < b;
    case Op::kLe:
      return a <= b;
    case Op::kAdd:
    case Op::kReduceAdd:
      return static_cast<Bits>(ua + ub);
    case Op::kSub:
      return static_cast<Bits>(ua - ub);
    case Op::kMul:
    case Op::kReduceMul:
      return static_cast<Bits>(ua * ub);
    case Op::kDiv:
      return b == 0 ? 0 : b == -1 ? static_cast<Bits>(0 - ua) : a / b;
    case Op::kRem:
      return b == 0 || b == -1 ? 0 : a % b;
    case Op::kMin:
    case Op::kReduceMin:
      return a < b ? a : b;
    case Op::kMax:
    case Op::kReduceMax:
      return a > b ? a : b;
    case Op::kNeg:
      return static_cast<Bits>(0 - ua);
    case Op::kAbs:
      return a < 0 ? static_cast<Bits>(0 - ua) : a;
    case Op::kAnd:
      return a & b;
    case Op::kOr:
      return a | b;
    case Op::kXor:
      return a ^ b;
    case Op::kNot:
      return t == kBool ? a == 0 : ~a;
    case Op::kShl:
      return static_cast<Bits>(ua << shift);
    case Op::kShr:
      return a >> shift;  // u32 is held without sign
    default:
      CHECK(false, Name(op), " is not an operation on integers");
      return 0;
  }
}

}  // namespace

Bits EncodeFloat(Type t, double value) {
  if (t == kF64) return std::bit_cast<Bits>(value);
  if (t == kBool) return value != 0;
  switch (t) {
    case kF32:
      return std::bit_cast<uint32_t>(static_cast<float>(value));
    case kF16:
      return F32ToF16(static_cast<float>(RoundTo(DType::kF16, value)));
    case kBF16:
      return F32ToBF16(static_cast<float>(RoundTo(DType::kBF16, value)));
    case kFp8E4M3:
      return ToFp8E4M3(value);
    case kFp8E5M2:
      return ToFp8E5M2(value);
    default:
      return FloatToInt(t, value);
  }
}

Bits EncodeInt(Type t, int64_t value) {
  switch (t) {
    case kBool:
      return value != 0;
    case kI8:
      return static_cast<int8_t>(value);
    case kU8:
      return static_cast<uint8_t>(value);
    case kI16:
      return static_cast<int16_t>(value);
    case kI32:
      return static_cast<int32_t>(value);
    case kU32:
      return static_cast<uint32_t>(value);
    case kI64:
      return value;
    case kF64:
      return std::bit_cast<Bits>(static_cast<double>(value));
    default: {  // by way of f32, in one rounding from i64
      const auto single = static_cast<float>(value);
      return EncodeFloat(t, static_cast<double>(single));
    }
  }
}

double ToDouble(Type t, Bits bits) {
  switch (t) {
    case kF64:
      return std::bit_cast<double>(bits);
    case kF32:
      return static_cast<double>(AsFloat(bits));
    case kF16:
      return static_cast<double>(F16ToF32(static_cast<uint16_t>(bits)));
    case kBF16:
      return static_cast<double>(BF16ToF32(static_cast<uint16_t>(bits)));
    case kFp8E4M3:
      return static_cast<double>(Fp8E4M3ToF32(static_cast<uint8_t>(bits)));
    case kFp8E5M2:
      return static_cast<double>(Fp8E5M2ToF32(static_cast<uint8_t>(bits)));
    default:
      return static_cast<double>(bits);
  }
}

Bits LoadScalar(Type t, const void* at) {
  uint64_t raw = 0;
  std::memcpy(&raw, at, static_cast<size_t>(ByteWidth(t)));
  if (IsFloatType(t)) return static_cast<Bits>(raw);
  return EncodeInt(t, static_cast<int64_t>(raw));
}

void StoreScalar(Type t, Bits bits, void* at) {
  std::memcpy(at, &bits, static_cast<size_t>(ByteWidth(t)));
}

Bits Evaluate(Op op, Type type, Type from, const std::array<Bits, 3>& operands) {
  switch (op) {
    case Op::kSelect:
      return operands[0] != 0 ? operands[1] : operands[2];
    case Op::kCast:
      return Cast(type, from, operands[0]);
    case Op::kBitcast:
      return Bitcast(type, from, operands[0]);
    default:
      break;
  }
  if (IsFloatType(from)) return FloatOp(op, from, operands);
  const Bits result = IntOp(op, from, operands[0], operands[1]);
  return EncodeInt(type, result);
}

bool Overflows(Op op, Type type, Bits a, Bits b) {
  Bits result = 0;
  bool carry = false;
  switch (op) {
    case Op::kAdd:
      carry = __builtin_add_overflow(a, b, &result);
      break;
    case Op::kSub:
      carry = __builtin_sub_overflow(a, b, &result);
      break;
    case Op::kMul:
      carry = __builtin_mul_overflow(a, b, &result);
      break;
    case Op::kNeg:
      carry = __builtin_sub_overflow(Bits{0}, a, &result);
      break;
    default:
      return false;
  }
  return carry || EncodeInt(type, result) != result;
}

}  // namespace rlx::kernel
