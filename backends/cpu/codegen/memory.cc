// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/codegen/memory.h"

#include <llvm/IR/Constants.h>
#include <llvm/IR/DerivedTypes.h>
#include <llvm/IR/IRBuilder.h>

#include <numeric>

#include "backends/cpu/codegen/lanes.h"

namespace rlx::cpu {

using kernel::Type;
using llvm::Value;

llvm::Type* MemoryEmitter::ElementType(Type t) const {
  return t == Type::kBool ? b_.getInt8Ty() : lanes_.ScalarType(t);
}

Value* MemoryEmitter::Address(llvm::Type* element, Value* base, Value* index) const {
  return b_.CreateGEP(element, base, index);
}

Value* MemoryEmitter::Reversed(Value* vector) const {
  std::vector<int> order(static_cast<size_t>(local_));
  std::iota(order.rbegin(), order.rend(), 0);
  return b_.CreateShuffleVector(vector, order);
}

Lanes MemoryEmitter::Load(Type t, Value* base, const Lanes& index, Value* mask) const {
  Lanes out;
  llvm::Type* element = ElementType(t);
  if (index.uniform()) {
    out.value = b_.CreateLoad(element, Address(element, base, index.value));
  } else {
    out.shape = Lanes::Shape::kVector;
    out.value = LoadVector(t, base, index, mask);
  }
  if (t == Type::kBool) {
    out.value = b_.CreateICmpNE(out.value, llvm::ConstantInt::get(out.value->getType(), 0));
  }
  return out;
}

Value* MemoryEmitter::LoadVector(Type t, Value* base, const Lanes& index, Value* mask) const {
  llvm::Type* element = ElementType(t);
  auto* type = llvm::FixedVectorType::get(element, static_cast<unsigned>(local_));
  const llvm::Align align(static_cast<uint64_t>(ByteWidth(t)));
  // Lanes that do not take part read as zero: poison could reach a branch through a reduced mask.
  Value* zero = llvm::Constant::getNullValue(type);
  const bool backwards = index.affine() && index.stride == -1;
  if (!backwards && !(index.affine() && index.stride == 1)) {
    Value* every = mask == nullptr ? lanes_.Vector({.value = b_.getTrue()}) : mask;
    return b_.CreateMaskedGather(type, Address(element, base, lanes_.Vector(index)), align, every,
                                 zero);
  }
  Value* first = index.value;
  if (backwards) {
    const auto back = static_cast<uint64_t>(1 - local_);
    first = b_.CreateAdd(first, llvm::ConstantInt::get(first->getType(), back, true));
    if (mask != nullptr) mask = Reversed(mask);
  }
  Value* address = Address(element, base, first);
  Value* loaded = mask == nullptr ? static_cast<Value*>(b_.CreateAlignedLoad(type, address, align))
                                  : b_.CreateMaskedLoad(type, address, align, mask, zero);
  return backwards ? Reversed(loaded) : loaded;
}

void MemoryEmitter::Store(Type t, Value* base, const Lanes& index, const Lanes& value,
                          Value* mask) const {
  llvm::Type* element = ElementType(t);
  const llvm::Align align(static_cast<uint64_t>(ByteWidth(t)));
  const auto in_memory = [&](Value* v) {
    if (t != Type::kBool) return v;
    const bool vector = v->getType()->isVectorTy();
    llvm::Type* bytes = llvm::FixedVectorType::get(element, static_cast<unsigned>(local_));
    return b_.CreateZExt(v, vector ? bytes : element);
  };
  if (index.uniform() && value.uniform()) {
    b_.CreateAlignedStore(in_memory(value.value), Address(element, base, index.value), align);
    return;
  }
  Value* stored = in_memory(lanes_.Vector(value));
  if (!(index.affine() && index.stride == 1)) {
    Value* every = mask == nullptr ? lanes_.Vector({.value = b_.getTrue()}) : mask;
    b_.CreateMaskedScatter(stored, Address(element, base, lanes_.Vector(index)), align, every);
    return;
  }
  Value* address = Address(element, base, index.value);
  if (mask == nullptr) {
    b_.CreateAlignedStore(stored, address, align);
  } else {
    b_.CreateMaskedStore(stored, address, align, mask);
  }
}

}  // namespace rlx::cpu
