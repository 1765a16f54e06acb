// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/codegen/lanes.h"

#include <llvm/IR/Constants.h>
#include <llvm/IR/DerivedTypes.h>
#include <llvm/IR/IRBuilder.h>

#include <cstdlib>
#include <numeric>
#include <vector>

namespace rlx::cpu {
namespace {

using kernel::Inst;
using kernel::Op;
using kernel::Type;
using Operands = std::array<const Lanes*, 3>;

// The value of an integer constant that a scalar is, if it is one.
bool ConstantOf(const Lanes& lanes, int64_t* value) {
  if (!lanes.uniform()) return false;
  const auto* constant = llvm::dyn_cast<llvm::ConstantInt>(lanes.value);
  if (constant == nullptr) return false;
  *value = constant->getSExtValue();
  return true;
}

// Greatest common divisor of what divides; 0 is divided by everything.
int64_t Gcd(int64_t a, int64_t b) { return std::gcd(a, b); }

int64_t SmallProduct(int64_t a, int64_t b) {
  int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? 1 : product;
}

Lanes Progression(llvm::Value* first, int64_t stride) {
  Lanes out{.shape = stride == 0 ? Lanes::Shape::kUniform : Lanes::Shape::kAffine, .value = first};
  out.stride = stride;
  return out;
}

}  // namespace

llvm::Type* LaneEmitter::ScalarType(Type t) const {
  switch (t) {
    case Type::kBool:
      return b_.getInt1Ty();
    case Type::kI8:
    case Type::kU8:
    case Type::kFp8E4M3:
    case Type::kFp8E5M2:
      return b_.getInt8Ty();
    case Type::kI16:
    case Type::kF16:
    case Type::kBF16:
      return b_.getInt16Ty();
    case Type::kI32:
    case Type::kU32:
      return b_.getInt32Ty();
    case Type::kI64:
      return b_.getInt64Ty();
    case Type::kF32:
      return b_.getFloatTy();
    case Type::kF64:
      return b_.getDoubleTy();
    case Type::kVoid:
      break;
  }
  return b_.getVoidTy();
}

llvm::Type* LaneEmitter::VectorType(Type t) const {
  return llvm::FixedVectorType::get(ScalarType(t), static_cast<unsigned>(local_));
}

llvm::Value* LaneEmitter::Vector(const Lanes& lanes) const {
  if (lanes.shape == Lanes::Shape::kVector) return lanes.value;
  llvm::Value* splat = b_.CreateVectorSplat(static_cast<unsigned>(local_), lanes.value);
  if (lanes.uniform()) return splat;
  std::vector<llvm::Constant*> steps;
  for (int lane = 0; lane < local_; ++lane) {
    const auto step = static_cast<uint64_t>(lane * lanes.stride);
    steps.push_back(llvm::ConstantInt::get(lanes.value->getType(), step, true));
  }
  return b_.CreateAdd(splat, llvm::ConstantVector::get(steps));
}

Lanes LaneEmitter::Const(Type t, int64_t bits) const {
  llvm::Type* type = ScalarType(t);
  Lanes out;
  if (!type->isFloatingPointTy()) {
    out.value = llvm::ConstantInt::get(type, static_cast<uint64_t>(bits), true);
    out.multiple = bits == INT64_MIN ? 1 : std::abs(bits);
    out.non_negative = bits >= 0;
    out.index = true;
    return out;
  }
  const unsigned width = type->getScalarSizeInBits();
  const llvm::APInt pattern(width, static_cast<uint64_t>(bits), false);
  out.value = llvm::ConstantFP::get(type, llvm::APFloat(type->getFltSemantics(), pattern));
  return out;
}

Lanes LaneEmitter::LocalId(Type t) const {
  Lanes out = Progression(llvm::ConstantInt::get(ScalarType(t), 0), local_ == 1 ? 0 : 1);
  out.multiple = 0;
  out.non_negative = out.index = true;
  return out;
}

Lanes LaneEmitter::Pure(const Inst& inst, Type from, const Operands& operands, bool index) const {
  Lanes out;
  if (!Affine(inst, from, operands, index, out)) {
    const auto count = static_cast<size_t>(kernel::Info(inst.op).operands);
    bool scalar = true, non_negative = true;
    for (size_t i = 0; i < count; ++i) {
      scalar &= operands[i]->uniform();
      non_negative &= operands[i]->non_negative;
    }
    std::array<llvm::Value*, 3> values{};
    for (size_t i = 0; i < count; ++i) {
      // A scalar condition can choose between vectors.
      const bool condition = inst.op == Op::kSelect && i == 0 && operands[0]->uniform();
      values[i] = scalar || condition ? operands[i]->value : Vector(*operands[i]);
    }
    out.shape = scalar ? Lanes::Shape::kUniform : Lanes::Shape::kVector;
    out.value = EmitPure(b_, inst, from, values, non_negative && index);
  }
  Learn(inst, operands, index, out);
  return out;
}

// Results that stay a progression (or become uniform) because of what their operands are.
bool LaneEmitter::Affine(const Inst& inst, Type from, const Operands& operands, bool index,
                         Lanes& out) const {
  const Lanes& a = *operands[0];
  const Lanes& b = operands[1] != nullptr ? *operands[1] : a;
  if (inst.op == Op::kSelect) {
    const Lanes& c = *operands[2];
    if (!a.uniform() || !b.affine() || !c.affine() || b.stride != c.stride) return false;
    out = Progression(b_.CreateSelect(a.value, b.value, c.value), b.stride);
    return true;
  }
  const bool vector = a.shape == Lanes::Shape::kVector || b.shape == Lanes::Shape::kVector;
  if (vector || !kernel::Has(kernel::kIntegers, from)) return false;
  if (a.uniform() && b.uniform()) return false;
  int64_t factor = 0;
  switch (inst.op) {
    case Op::kAdd:
      out = Progression(b_.CreateAdd(a.value, b.value), a.stride + b.stride);
      return true;
    case Op::kSub:
      out = Progression(b_.CreateSub(a.value, b.value), a.stride - b.stride);
      return true;
    case Op::kNeg:
      out = Progression(b_.CreateNeg(a.value), -a.stride);
      return true;
    case Op::kMul:
      if (!ConstantOf(a, &factor) && !ConstantOf(b, &factor)) return false;
      if (std::abs(factor) > INT32_MAX) return false;
      out = Progression(b_.CreateMul(a.value, b.value), (a.stride + b.stride) * factor);
      return true;
    case Op::kDiv:
    case Op::kRem:
      return AffineDivision(inst, a, b, out);
    case Op::kCast: {
      const bool wider = ByteWidth(inst.type) > ByteWidth(from);
      if (!kernel::Has(kernel::kIndices, inst.type) || (wider && !(index && a.index))) return false;
      out = Progression(b_.CreateSExtOrTrunc(a.value, ScalarType(inst.type)), a.stride);
      return true;
    }
    case Op::kEq:
    case Op::kNe:
    case Op::kLt:
    case Op::kLe:
      return AffineCompare(inst, from, a, b, out);
    default:
      return false;
  }
}

// With base and divisor multiples of k, all of base .. base + k - 1 have one quotient: a
// progression that stays below k has it too, and its remainders are a progression.
bool LaneEmitter::AffineDivision(const Inst& inst, const Lanes& a, const Lanes& b,
                                 Lanes& out) const {
  int64_t divisor = 0;
  if (!ConstantOf(b, &divisor) || divisor <= 0 || !a.non_negative || !a.index) return false;
  const int64_t block = Gcd(a.multiple, divisor);
  const bool divides = inst.op == Op::kDiv;
  if (a.stride > 0 && a.stride * (local_ - 1) < block) {
    out = divides ? Progression(b_.CreateUDiv(a.value, b.value), 0)
                  : Progression(b_.CreateURem(a.value, b.value), a.stride);
    return true;
  }
  if (block != divisor || a.stride % divisor != 0) return false;
  out = divides ? Progression(b_.CreateUDiv(a.value, b.value), a.stride / divisor)
                : Progression(llvm::ConstantInt::get(a.value->getType(), 0), 0);
  return true;
}

// Two progressions of one stride compare as their first lanes. Against a bound, the first and the
// last lane tell about all of them.
bool LaneEmitter::AffineCompare(const Inst& inst, Type from, const Lanes& a, const Lanes& b,
                                Lanes& out) const {
  if (!a.index || !b.index) return false;
  if (a.stride == b.stride) {
    out = Progression(EmitPure(b_, inst, from, {a.value, b.value, nullptr}, false), 0);
    return true;
  }
  out.shape = Lanes::Shape::kVector;
  out.value = EmitPure(b_, inst, from, {Vector(a), Vector(b), nullptr}, false);
  if (inst.op != Op::kLt && inst.op != Op::kLe) return true;
  const auto last = [&](const Lanes& lanes) {
    const auto way = static_cast<uint64_t>(lanes.stride * (local_ - 1));
    return b_.CreateAdd(lanes.value, llvm::ConstantInt::get(lanes.value->getType(), way, true));
  };
  llvm::Value* first = EmitPure(b_, inst, from, {a.value, b.value, nullptr}, false);
  llvm::Value* end = EmitPure(b_, inst, from, {last(a), last(b), nullptr}, false);
  const bool falls = a.stride > b.stride;  // true lanes come first
  out.all = falls ? end : first;
  out.any = falls ? first : end;
  return true;
}

void LaneEmitter::Learn(const Inst& inst, const Operands& operands, bool index, Lanes& out) const {
  const Lanes& a = *operands[0];
  const Lanes* const b = operands[1];
  if (inst.op == Op::kAnd && inst.type == Type::kBool && !out.uniform()) {
    // Only where both sides know: a lane mask has no cheaper answer than a reduction.
    if (a.all != nullptr && b->all != nullptr) out.all = b_.CreateAnd(a.all, b->all);
    if (a.uniform() && b->all != nullptr) {
      out.all = b_.CreateAnd(a.value, b->all), out.any = b_.CreateAnd(a.value, b->any);
    }
    if (b->uniform() && a.all != nullptr) {
      out.all = b_.CreateAnd(b->value, a.all), out.any = b_.CreateAnd(b->value, a.any);
    }
  }
  if (!kernel::Has(kernel::kIndices, inst.type)) return;
  out.index = index;
  if (!index) return;
  const bool both = a.non_negative && b != nullptr && b->non_negative;
  switch (inst.op) {
    case Op::kAdd:
      out.multiple = Gcd(a.multiple, b->multiple);
      out.non_negative = both;
      break;
    case Op::kSub:
      out.multiple = Gcd(a.multiple, b->multiple);
      break;
    case Op::kMul:
      out.multiple = SmallProduct(a.multiple, b->multiple);
      out.non_negative = both;
      break;
    case Op::kDiv:
      out.non_negative = both;
      break;
    case Op::kRem:
      out.multiple = Gcd(a.multiple, b->multiple);
      out.non_negative = a.non_negative;
      break;
    case Op::kMin:
      out.non_negative = both;
      break;
    case Op::kMax:
      out.non_negative = a.non_negative || b->non_negative;
      break;
    case Op::kCast:
      out.multiple = a.multiple;
      out.non_negative = a.non_negative;
      break;
    default:
      break;
  }
}

// Halves on halves, as kernel.h says.
Lanes LaneEmitter::Reduce(Op op, Type t, const Lanes& lanes) const {
  llvm::Value* value = Vector(lanes);
  const Op scalar_op = op == Op::kReduceAdd   ? Op::kAdd
                       : op == Op::kReduceMul ? Op::kMul
                       : op == Op::kReduceMax ? Op::kMax
                                              : Op::kMin;
  for (int half = local_ / 2; half > 0; half /= 2) {
    std::vector<int> low(static_cast<size_t>(half)), high(static_cast<size_t>(half));
    std::iota(low.begin(), low.end(), 0);
    std::iota(high.begin(), high.end(), half);
    value = EmitPure(
        b_, {.op = scalar_op, .type = t}, t,
        {b_.CreateShuffleVector(value, low), b_.CreateShuffleVector(value, high), nullptr}, false);
  }
  Lanes out;
  out.value = b_.CreateExtractElement(value, uint64_t{0});
  return out;
}

Lanes LaneEmitter::ShuffleXor(const Lanes& lanes, int mask) const {
  std::vector<int> from(static_cast<size_t>(local_));
  for (int lane = 0; lane < local_; ++lane) from[static_cast<size_t>(lane)] = lane ^ mask;
  return {.shape = Lanes::Shape::kVector, .value = b_.CreateShuffleVector(Vector(lanes), from)};
}

}  // namespace rlx::cpu
