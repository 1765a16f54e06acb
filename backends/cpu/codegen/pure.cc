// SPDX-License-Identifier: Apache-2.0
#include <llvm/IR/Constants.h>
#include <llvm/IR/DerivedTypes.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/Module.h>

#include <cmath>

#include "backends/cpu/codegen/lanes.h"
#include "runtime/base/check.h"

namespace rlx::cpu {
namespace {

using kernel::Inst;
using kernel::Op;
using kernel::Type;
using llvm::Value;
using Operands = std::array<Value*, 3>;

bool IsFloat(Type t) { return kernel::Has(kernel::kFloats, t); }
bool IsHalf(Type t) { return t == Type::kF16; }
bool IsSigned(Type t) { return t != Type::kU32 && t != Type::kU8 && t != Type::kBool; }

// `scalar`, or a vector of it when `like` is one.
llvm::Type* Shaped(llvm::Type* scalar, const Value* like) {
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(like->getType());
  return vector == nullptr ? scalar : llvm::FixedVectorType::get(scalar, vector->getNumElements());
}

llvm::Type* TypeFor(llvm::IRBuilderBase& b, Type t, const Value* like) {
  const unsigned bits = t == Type::kBool ? 1 : 8 * static_cast<unsigned>(ByteWidth(t));
  if (t == Type::kF32) return Shaped(b.getFloatTy(), like);
  if (t == Type::kF64) return Shaped(b.getDoubleTy(), like);
  return Shaped(b.getIntNTy(bits), like);
}

// x86's minps and maxps answer with the second operand when either is NaN, which is what the select
// says; a NaN in the first has to be put back. A constant goes first, so that nothing has to be.
Value* FloatExtremum(llvm::IRBuilderBase& b, Op op, Value* x, Value* y) {
  if (llvm::isa<llvm::Constant>(y)) std::swap(x, y);
  Value* wins = op == Op::kMax ? b.CreateFCmpOGT(x, y) : b.CreateFCmpOLT(x, y);
  Value* winner = b.CreateSelect(wins, x, y);
  return b.CreateSelect(b.CreateFCmpUNO(x, x), x, winner);
}

// A function of f64, per lane by libm.
Value* CallLibm(llvm::IRBuilderBase& b, std::string_view name, Value* x, Value* y) {
  llvm::Module* module = b.GetInsertBlock()->getModule();
  llvm::Type* f64 = b.getDoubleTy();
  std::vector<llvm::Type*> parameters(y == nullptr ? 1 : 2, f64);
  llvm::FunctionCallee callee = module->getOrInsertFunction(
      llvm::StringRef(name.data(), name.size()), llvm::FunctionType::get(f64, parameters, false));
  auto* function = llvm::cast<llvm::Function>(callee.getCallee());
  function->setDoesNotThrow();
  function->setDoesNotAccessMemory();
  function->addFnAttr(llvm::Attribute::WillReturn);
  function->addFnAttr(llvm::Attribute::NonLazyBind);
  // Or LLVM makes pow(2, n) a call of ldexp, which load.cc has not.
  function->addFnAttr(llvm::Attribute::NoBuiltin);
  const auto call = [&](Value* u, Value* v) -> Value* {
    return v == nullptr ? b.CreateCall(callee, {u}) : b.CreateCall(callee, {u, v});
  };
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(x->getType());
  if (vector == nullptr) return call(x, y);
  Value* out = llvm::PoisonValue::get(x->getType());
  for (uint64_t lane = 0; lane < vector->getNumElements(); ++lane) {
    Value* second = y == nullptr ? nullptr : b.CreateExtractElement(y, lane);
    out = b.CreateInsertElement(out, call(b.CreateExtractElement(x, lane), second), lane);
  }
  return out;
}

Value* Intrinsic(llvm::IRBuilderBase& b, llvm::Intrinsic::ID id, Value* x) {
  return b.CreateUnaryIntrinsic(id, x);
}

Value* FloatOp(llvm::IRBuilderBase& b, const Inst& inst, const Operands& v) {
  switch (inst.op) {
    case Op::kAdd:
      return b.CreateFAdd(v[0], v[1]);
    case Op::kSub:
      return b.CreateFSub(v[0], v[1]);
    case Op::kMul:
      return b.CreateFMul(v[0], v[1]);
    case Op::kDiv:
      return b.CreateFDiv(v[0], v[1]);
    case Op::kMin:
    case Op::kMax:
      return FloatExtremum(b, inst.op, v[0], v[1]);
    case Op::kNeg:
      return b.CreateFNeg(v[0]);
    case Op::kAbs:
      return Intrinsic(b, llvm::Intrinsic::fabs, v[0]);
    case Op::kFma:
      return b.CreateIntrinsic(v[0]->getType(), llvm::Intrinsic::fmuladd, {v[0], v[1], v[2]});
    case Op::kEq:
      return b.CreateFCmpOEQ(v[0], v[1]);
    case Op::kNe:
      return b.CreateFCmpUNE(v[0], v[1]);
    case Op::kLt:
      return b.CreateFCmpOLT(v[0], v[1]);
    case Op::kLe:
      return b.CreateFCmpOLE(v[0], v[1]);
    case Op::kSqrt:
      return Intrinsic(b, llvm::Intrinsic::sqrt, v[0]);
    case Op::kRsqrt:
      return b.CreateFDiv(llvm::ConstantFP::get(v[0]->getType(), 1.0),
                          Intrinsic(b, llvm::Intrinsic::sqrt, v[0]));
    case Op::kFloor:
      return Intrinsic(b, llvm::Intrinsic::floor, v[0]);
    case Op::kCeil:
      return Intrinsic(b, llvm::Intrinsic::ceil, v[0]);
    case Op::kRound:
      return Intrinsic(b, llvm::Intrinsic::roundeven, v[0]);
    default:
      return CallLibm(b, Name(inst.op), v[0], v[1]);  // f64: f32 is legalized
  }
}

// Total: x / 0 and x rem 0 are 0, the lowest number by -1 wraps. Constant divisors need no care.
Value* Division(llvm::IRBuilderBase& b, Op op, Type t, Value* x, Value* y, bool as_unsigned) {
  const bool is_signed = IsSigned(t) && !as_unsigned;
  const auto divide = [&](Value* by) {
    if (op == Op::kDiv) return is_signed ? b.CreateSDiv(x, by) : b.CreateUDiv(x, by);
    return is_signed ? b.CreateSRem(x, by) : b.CreateURem(x, by);
  };
  const auto* constant = llvm::dyn_cast<llvm::Constant>(y);
  const llvm::APInt* number = nullptr;
  if (constant != nullptr) {
    const llvm::Constant* scalar =
        constant->getType()->isVectorTy() ? constant->getSplatValue() : constant;
    if (const auto* integer = llvm::dyn_cast_or_null<llvm::ConstantInt>(scalar))
      number = &integer->getValue();
  }
  if (number != nullptr && !number->isZero() && !number->isAllOnes()) return divide(y);
  llvm::Type* type = y->getType();
  Value* zero = llvm::ConstantInt::get(type, 0);
  Value* one = llvm::ConstantInt::get(type, 1);
  Value* by_zero = b.CreateICmpEQ(y, zero);
  Value* by_minus_one =
      is_signed ? b.CreateICmpEQ(y, llvm::ConstantInt::getSigned(type, -1)) : nullptr;
  Value* odd = by_minus_one == nullptr ? by_zero : b.CreateOr(by_zero, by_minus_one);
  Value* result = divide(b.CreateSelect(odd, one, y));
  if (by_minus_one != nullptr) {
    result = b.CreateSelect(by_minus_one, op == Op::kDiv ? b.CreateNeg(x) : zero, result);
  }
  return b.CreateSelect(by_zero, zero, result);
}

Value* IntOp(llvm::IRBuilderBase& b, const Inst& inst, Type t, const Operands& v,
             bool unsigned_division) {
  const bool is_signed = IsSigned(t);
  const auto amount = [&] {
    const unsigned width = v[1]->getType()->getScalarSizeInBits();
    return b.CreateAnd(v[1], llvm::ConstantInt::get(v[1]->getType(), width - 1));
  };
  switch (inst.op) {
    case Op::kAdd:
      return b.CreateAdd(v[0], v[1]);
    case Op::kSub:
      return b.CreateSub(v[0], v[1]);
    case Op::kMul:
      return b.CreateMul(v[0], v[1]);
    case Op::kDiv:
    case Op::kRem:
      return Division(b, inst.op, t, v[0], v[1], unsigned_division);
    case Op::kMin:
      return b.CreateBinaryIntrinsic(is_signed ? llvm::Intrinsic::smin : llvm::Intrinsic::umin,
                                     v[0], v[1]);
    case Op::kMax:
      return b.CreateBinaryIntrinsic(is_signed ? llvm::Intrinsic::smax : llvm::Intrinsic::umax,
                                     v[0], v[1]);
    case Op::kNeg:
      return b.CreateNeg(v[0]);
    case Op::kAbs:
      return is_signed ? b.CreateBinaryIntrinsic(llvm::Intrinsic::abs, v[0], b.getFalse()) : v[0];
    case Op::kAnd:
      return b.CreateAnd(v[0], v[1]);
    case Op::kOr:
      return b.CreateOr(v[0], v[1]);
    case Op::kXor:
      return b.CreateXor(v[0], v[1]);
    case Op::kNot:
      return b.CreateNot(v[0]);
    case Op::kShl:
      return b.CreateShl(v[0], amount());
    case Op::kShr:
      return is_signed ? b.CreateAShr(v[0], amount()) : b.CreateLShr(v[0], amount());
    case Op::kEq:
      return b.CreateICmpEQ(v[0], v[1]);
    case Op::kNe:
      return b.CreateICmpNE(v[0], v[1]);
    case Op::kLt:
      return is_signed ? b.CreateICmpSLT(v[0], v[1]) : b.CreateICmpULT(v[0], v[1]);
    case Op::kLe:
      return is_signed ? b.CreateICmpSLE(v[0], v[1]) : b.CreateICmpULE(v[0], v[1]);
    default:
      CHECK(false, Name(inst.op), " on integers");
      return nullptr;
  }
}

// Truncated and saturated, NaN to 0, as llvm.fptosi.sat has it: that one is taken apart lane by
// lane where a processor has no instruction for it. To 8 and 16 bits by way of i32.
Value* FloatToInt(llvm::IRBuilderBase& b, Type to, Value* v) {
  if (to == Type::kBool) return b.CreateFCmpUNE(v, llvm::ConstantFP::get(v->getType(), 0.0));
  llvm::Type* type = TypeFor(b, to, v);
  const bool is_signed = IsSigned(to);
  const unsigned bits = type->getScalarSizeInBits();
  const double end = std::ldexp(1, static_cast<int>(is_signed ? bits - 1 : bits));
  const auto constant = [&](double x) { return llvm::ConstantFP::get(v->getType(), x); };
  Value* low = constant(is_signed ? -end : 0);
  Value* below = b.CreateSelect(b.CreateFCmpOLT(v, constant(end)), v, constant(0));
  Value* inside = b.CreateSelect(b.CreateFCmpOLT(below, low), low, below);
  Value* whole = nullptr;
  if (bits < 32) {
    whole = b.CreateTrunc(b.CreateFPToSI(inside, Shaped(b.getInt32Ty(), v)), type);
  } else {
    whole = is_signed ? b.CreateFPToSI(inside, type) : b.CreateFPToUI(inside, type);
  }
  const llvm::APInt most =
      is_signed ? llvm::APInt::getSignedMaxValue(bits) : llvm::APInt::getMaxValue(bits);
  return b.CreateSelect(b.CreateFCmpOGE(v, constant(end)), llvm::ConstantInt::get(type, most),
                        whole);
}

// f16 goes by the processor's own conversion (legalized away where there is none), the other narrow
// floats are legalized always.
Value* Widen(llvm::IRBuilderBase& b, Value* v) {
  return b.CreateFPExt(b.CreateBitCast(v, Shaped(b.getHalfTy(), v)), Shaped(b.getFloatTy(), v));
}

Value* Narrow(llvm::IRBuilderBase& b, Value* v) {
  return b.CreateBitCast(b.CreateFPTrunc(v, Shaped(b.getHalfTy(), v)), Shaped(b.getInt16Ty(), v));
}

// f64 as the f32 from which f16 rounds as from the f64 itself, as legalization has it for the
// others.
Value* RoundToOdd(llvm::IRBuilderBase& b, Value* v) {
  Value* nearest = b.CreateFPTrunc(v, Shaped(b.getFloatTy(), v));
  Value* back = b.CreateFPExt(nearest, v->getType());
  Value* bits = b.CreateBitCast(nearest, Shaped(b.getInt32Ty(), v));
  Value* one = llvm::ConstantInt::get(bits->getType(), 1);
  Value* above = b.CreateFCmpOGT(b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, back),
                                 b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, v));
  Value* cut = b.CreateSelect(above, b.CreateSub(bits, one), bits);
  Value* odd = b.CreateSelect(b.CreateFCmpUNE(back, v), b.CreateOr(cut, one), bits);
  return b.CreateBitCast(odd, nearest->getType());
}

Value* Cast(llvm::IRBuilderBase& b, Type to, Type from, Value* v) {
  if (to == from) return v;
  if (IsHalf(from)) return Cast(b, to, Type::kF32, Widen(b, v));
  if (IsHalf(to) && from == Type::kF64) return Narrow(b, RoundToOdd(b, v));
  if (IsHalf(to)) return Narrow(b, Cast(b, Type::kF32, from, v));
  llvm::Type* type = TypeFor(b, to, v);
  if (IsFloat(from)) return IsFloat(to) ? b.CreateFPCast(v, type) : FloatToInt(b, to, v);
  if (IsFloat(to)) return IsSigned(from) ? b.CreateSIToFP(v, type) : b.CreateUIToFP(v, type);
  if (to == Type::kBool) return b.CreateICmpNE(v, llvm::ConstantInt::get(v->getType(), 0));
  return b.CreateIntCast(v, type, IsSigned(from));
}

}  // namespace

Value* EmitPure(llvm::IRBuilderBase& b, const Inst& inst, Type from, const Operands& operands,
                bool unsigned_division) {
  switch (inst.op) {
    case Op::kSelect:
      return b.CreateSelect(operands[0], operands[1], operands[2]);
    case Op::kCast:
      return Cast(b, inst.type, from, operands[0]);
    case Op::kBitcast:
      return b.CreateBitCast(operands[0], TypeFor(b, inst.type, operands[0]));
    default:
      break;
  }
  return IsFloat(from) ? FloatOp(b, inst, operands)
                       : IntOp(b, inst, from, operands, unsigned_division);
}

}  // namespace rlx::cpu
