// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel/op.h"

namespace rlx::kernel {
namespace {

using enum Op;
using enum Form;

constexpr OpInfo kRows[kOpCount] = {
    {kBuffer, "buffer", 0, kSpecial, kAnyType, false},
    {kScalar, "scalar", 0, kSpecial, kAnyType, false},
    {kShared, "shared", 0, kSpecial, kAnyType, false},
    {kConst, "const", 0, kId, kAnyType, true},
    {kGroupId, "group_id", 0, kId, kIndices, false},
    {kLocalId, "local_id", 0, kId, kIndices, false},
    {kCell, "cell", 1, kSpecial, kAnyType, false},
    {kLoop, "loop", 1, kSpecial, kIndices, false},
    {kIf, "if", 1, kSpecial, 0, false},
    {kEnd, "end", 0, kSpecial, 0, false},
    {kLoad, "load", 2, kSpecial, kAnyType, false},
    {kStore, "store", 3, kSpecial, 0, false},
    {kGet, "get", 1, kSpecial, kAnyType, false},
    {kSet, "set", 2, kSpecial, 0, false},
    {kBarrier, "barrier", 0, kSpecial, 0, false},
    {kReduceAdd, "reduce_add", 1, kSame, kNumbers, false},
    {kReduceMul, "reduce_mul", 1, kSame, kNumbers, false},
    {kReduceMax, "reduce_max", 1, kSame, kNumbers, false},
    {kReduceMin, "reduce_min", 1, kSame, kNumbers, false},
    {kShuffleXor, "shuffle_xor", 1, kSame, kNumbers, false},
    {kAdd, "add", 2, kSame, kNumbers, true},
    {kSub, "sub", 2, kSame, kNumbers, true},
    {kMul, "mul", 2, kSame, kNumbers, true},
    {kDiv, "div", 2, kSame, kNumbers, true},
    {kRem, "rem", 2, kSame, kIntegers, true},
    {kMin, "min", 2, kSame, kNumbers, true},
    {kMax, "max", 2, kSame, kNumbers, true},
    {kNeg, "neg", 1, kSame, kNumbers, true},
    {kAbs, "abs", 1, kSame, kNumbers, true},
    {kFma, "fma", 3, kSame, kFloats, true},
    {kAnd, "and", 2, kSame, kBits, true},
    {kOr, "or", 2, kSame, kBits, true},
    {kXor, "xor", 2, kSame, kBits, true},
    {kNot, "not", 1, kSame, kBits, true},
    {kShl, "shl", 2, kSame, kIntegers, true},
    {kShr, "shr", 2, kSame, kIntegers, true},
    {kEq, "eq", 2, kCompare, kNumbers | Bit(Type::kBool), true},
    {kNe, "ne", 2, kCompare, kNumbers | Bit(Type::kBool), true},
    {kLt, "lt", 2, kCompare, kNumbers, true},
    {kLe, "le", 2, kCompare, kNumbers, true},
    {kSelect, "select", 3, kSpecial, kAnyType, true},
    {kCast, "cast", 1, kSpecial, kAnyType, true},
    {kBitcast, "bitcast", 1, kSpecial, kAnyType, true},
    {kSqrt, "sqrt", 1, kSame, kFloats, true},
    {kRsqrt, "rsqrt", 1, kSame, kFloats, true},
    {kExp, "exp", 1, kSame, kFloats, true},
    {kExp2, "exp2", 1, kSame, kFloats, true},
    {kLog, "log", 1, kSame, kFloats, true},
    {kSin, "sin", 1, kSame, kFloats, true},
    {kCos, "cos", 1, kSame, kFloats, true},
    {kTan, "tan", 1, kSame, kFloats, true},
    {kAtan, "atan", 1, kSame, kFloats, true},
    {kTanh, "tanh", 1, kSame, kFloats, true},
    {kErf, "erf", 1, kSame, kFloats, true},
    {kPow, "pow", 2, kSame, kFloats, true},
    {kFloor, "floor", 1, kSame, kFloats, true},
    {kCeil, "ceil", 1, kSame, kFloats, true},
    {kRound, "round", 1, kSame, kFloats, true},
};

constexpr bool InOrder() {
  for (int i = 0; i < kOpCount; ++i) {
    if (kRows[i].op != static_cast<Op>(i)) return false;
  }
  return true;
}
static_assert(InOrder(), "one row per op, in the order of the enum");

}  // namespace

const OpInfo& Info(Op op) { return kRows[static_cast<int>(op)]; }

const OpInfo* FindOp(std::string_view name) {
  for (const OpInfo& row : kRows) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

}  // namespace rlx::kernel
