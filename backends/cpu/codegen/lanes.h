// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "runtime/kernel/op.h"

namespace llvm {
class IRBuilderBase;
class Type;
class Value;
}  // namespace llvm

namespace rlx::cpu {

// The values of one instruction in the lanes of a group. What is the same in all lanes stays a
// scalar, and so do integers in arithmetic progression (addresses, mostly): that is what turns
// scalar control flow into branches and consecutive accesses into plain vector ones.
struct Lanes {
  enum class Shape : uint8_t {
    kUniform,  // value: the scalar
    kAffine,   // value: the scalar of lane 0; lane i has value + i * stride, stride != 0
    kVector,   // value: <local x T>
  };
  Shape shape = Shape::kUniform;
  llvm::Value* value = nullptr;
  int64_t stride = 0;

  // Known about integers.
  int64_t multiple = 1;       // divides `value`; 0: value is 0
  bool non_negative = false;  // in every lane
  bool index = false;  // index arithmetic (kernel::FindIndices) or constant: has not overflowed

  // Of bools that compare a progression with a bound: scalars telling whether all, or any, lanes
  // hold.
  llvm::Value* all = nullptr;
  llvm::Value* any = nullptr;

  bool uniform() const { return shape == Shape::kUniform; }
  bool affine() const { return shape == Shape::kAffine; }
};

// Emits operations on Lanes. f16 and bf16 values are held as their bits (i16), bools as i1.
class LaneEmitter {
 public:
  LaneEmitter(llvm::IRBuilderBase& builder, int local) : b_(builder), local_(local) {}

  llvm::Type* ScalarType(kernel::Type t) const;
  llvm::Type* VectorType(kernel::Type t) const;
  llvm::Value* Vector(const Lanes& lanes) const;  // spread out, whatever the shape

  Lanes Const(kernel::Type t, int64_t bits) const;
  Lanes LocalId(kernel::Type t) const;

  // A pure op on operands of type `from`; `index` says that the result is index arithmetic.
  Lanes Pure(const kernel::Inst& inst, kernel::Type from,
             const std::array<const Lanes*, 3>& operands, bool index) const;
  Lanes Reduce(kernel::Op op, kernel::Type t, const Lanes& lanes) const;
  Lanes ShuffleXor(const Lanes& lanes, int mask) const;

 private:
  bool Affine(const kernel::Inst& inst, kernel::Type from,
              const std::array<const Lanes*, 3>& operands, bool index, Lanes& out) const;
  bool AffineDivision(const kernel::Inst& inst, const Lanes& a, const Lanes& b, Lanes& out) const;
  bool AffineCompare(const kernel::Inst& inst, kernel::Type from, const Lanes& a, const Lanes& b,
                     Lanes& out) const;
  void Learn(const kernel::Inst& inst, const std::array<const Lanes*, 3>& operands, bool index,
             Lanes& out) const;

  llvm::IRBuilderBase& b_;
  int local_;
};

// One op on scalars or vectors of LLVM (pure.cc). `unsigned_division`: both operands are
// non-negative.
llvm::Value* EmitPure(llvm::IRBuilderBase& b, const kernel::Inst& inst, kernel::Type from,
                      const std::array<llvm::Value*, 3>& operands, bool unsigned_division);

}  // namespace rlx::cpu
