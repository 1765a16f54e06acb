// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/kernel/type.h"

namespace llvm {
class IRBuilderBase;
class Type;
class Value;
}  // namespace llvm

namespace rlx::cpu {

class LaneEmitter;
struct Lanes;

// Emits loads and stores by the shape of the index: one scalar access, one vector access for
// neighbours, else gather and scatter. `mask` is null when all lanes take part; under a mask at
// least one does.
class MemoryEmitter {
 public:
  MemoryEmitter(llvm::IRBuilderBase& builder, const LaneEmitter& lanes, int local)
      : b_(builder), lanes_(lanes), local_(local) {}

  llvm::Type* ElementType(kernel::Type t) const;  // in memory: a bool is a byte

  Lanes Load(kernel::Type t, llvm::Value* base, const Lanes& index, llvm::Value* mask) const;
  void Store(kernel::Type t, llvm::Value* base, const Lanes& index, const Lanes& value,
             llvm::Value* mask) const;

 private:
  llvm::Value* LoadVector(kernel::Type t, llvm::Value* base, const Lanes& index,
                          llvm::Value* mask) const;
  llvm::Value* Reversed(llvm::Value* vector) const;
  llvm::Value* Address(llvm::Type* element, llvm::Value* base, llvm::Value* index) const;

  llvm::IRBuilderBase& b_;
  const LaneEmitter& lanes_;
  int local_;
};

}  // namespace rlx::cpu
