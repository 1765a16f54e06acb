// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/codegen/emit.h"

#include <llvm/IR/Constants.h>
#include <llvm/IR/Function.h>
#include <llvm/IR/IRBuilder.h>

#include "backends/cpu/codegen/lanes.h"
#include "backends/cpu/codegen/memory.h"
#include "runtime/kernel/uniform.h"

namespace rlx::cpu {
namespace {

using kernel::Inst;
using kernel::Kernel;
using kernel::Op;
using kernel::Type;
using llvm::BasicBlock;
using llvm::Value;

// Walks the list once per group loop. Under a lane-varying `if` the walk carries a mask; where a
// cheap scalar test says that all lanes take part, the bracket is written a second time without
// one.
class Walker {
 public:
  Walker(const Kernel& kernel, llvm::Function& function)
      : kernel_(kernel),
        function_(function),
        b_(BasicBlock::Create(function.getContext(), "entry", &function)),
        lanes_(b_, kernel.local),
        memory_(b_, lanes_, kernel.local),
        uniform_(kernel::FindUniform(kernel)),
        index_(kernel::FindIndices(kernel)),
        value_(kernel.body.size()),
        close_(kernel.body.size()) {
    FindBrackets();
  }

  void Run() {
    DeclareParameters();
    Value* begin = function_.getArg(2);
    Value* end = function_.getArg(3);
    CountedLoop(begin, end, [&](Value* group) {
      group_ = group;
      Range(0, kernel_.body.size());
    });
    b_.CreateRetVoid();
  }

 private:
  void FindBrackets() {
    std::vector<size_t> open;
    for (size_t at = 0; at < kernel_.body.size(); ++at) {
      const Op op = kernel_.body[at].op;
      if (op == Op::kLoop || op == Op::kIf) open.push_back(at);
      if (op != Op::kEnd) continue;
      close_[open.back()] = at;
      open.pop_back();
    }
  }

  Lanes& Of(kernel::Value v) { return value_[static_cast<size_t>(v.id)]; }

  BasicBlock* Block(const char* name) {
    return BasicBlock::Create(function_.getContext(), name, &function_);
  }

  // What does not depend on the group: pointers and scalars are read, cells and shared memory made.
  void DeclareParameters() {
    for (size_t at = 0; at < kernel_.body.size(); ++at) {
      const Inst& inst = kernel_.body[at];
      const auto slot = static_cast<uint64_t>(inst.imm);
      switch (inst.op) {
        case Op::kBuffer: {
          Value* from = b_.CreateConstInBoundsGEP1_64(b_.getPtrTy(), function_.getArg(0), slot);
          value_[at].value = b_.CreateLoad(b_.getPtrTy(), from);
          break;
        }
        case Op::kScalar: {
          Value* from = b_.CreateConstInBoundsGEP1_64(b_.getInt64Ty(), function_.getArg(1), slot);
          value_[at].value = b_.CreateLoad(lanes_.ScalarType(inst.type), from);
          value_[at].index = true;
          break;
        }
        case Op::kShared: {
          llvm::Type* type = llvm::ArrayType::get(memory_.ElementType(inst.type), slot);
          llvm::AllocaInst* array = b_.CreateAlloca(type);
          array->setAlignment(llvm::Align(64));
          value_[at].value = array;
          break;
        }
        case Op::kCell: {
          const bool uniform = uniform_.value[at] || kernel_.local == 1;
          value_[at].value = b_.CreateAlloca(uniform ? lanes_.ScalarType(inst.type)
                                                     : lanes_.VectorType(inst.type));
          value_[at].shape = uniform ? Lanes::Shape::kUniform : Lanes::Shape::kVector;
          break;
        }
        default:
          break;
      }
    }
  }

  // for (i = begin; i < end; ++i) body(i), tested once before and then at the bottom.
  template <class Body>
  void CountedLoop(Value* begin, Value* end, Body&& body) {
    BasicBlock* before = b_.GetInsertBlock();
    BasicBlock* loop = Block("loop");
    BasicBlock* after = Block("after");
    b_.CreateCondBr(b_.CreateICmpSLT(begin, end), loop, after);
    b_.SetInsertPoint(loop);
    llvm::PHINode* counter = b_.CreatePHI(begin->getType(), 2);
    counter->addIncoming(begin, before);
    body(counter);
    Value* next = b_.CreateNSWAdd(counter, llvm::ConstantInt::get(begin->getType(), 1));
    counter->addIncoming(next, b_.GetInsertBlock());
    b_.CreateCondBr(b_.CreateICmpSLT(next, end), loop, after);
    b_.SetInsertPoint(after);
  }

  void Range(size_t begin, size_t end) {
    for (size_t at = begin; at < end; ++at) {
      const Op op = kernel_.body[at].op;
      if (op == Op::kLoop) Loop(at);
      if (op == Op::kIf) If(at);
      if (op == Op::kLoop || op == Op::kIf) {
        at = close_[at];
        continue;
      }
      Step(at);
    }
  }

  void Loop(size_t at) {
    Value* trips = Of(kernel_.body[at].a).value;
    CountedLoop(llvm::ConstantInt::get(trips->getType(), 0), trips, [&](Value* counter) {
      value_[at] = {.value = counter};
      value_[at].non_negative = value_[at].index = true;
      Range(at + 1, close_[at]);
    });
  }

  // Writes body() under `condition`, with nothing at all for a constant that is false.
  template <class Body>
  void Branch(Value* condition, Body&& body) {
    const auto* known = llvm::dyn_cast<llvm::ConstantInt>(condition);
    if (known != nullptr && known->isZero()) return;
    if (known != nullptr) return body();
    BasicBlock* then = Block("then");
    BasicBlock* after = Block("after");
    b_.CreateCondBr(condition, then, after);
    b_.SetInsertPoint(then);
    body();
    b_.CreateBr(after);
    b_.SetInsertPoint(after);
  }

  void If(size_t at) {
    const Lanes condition = Of(kernel_.body[at].a);
    const auto body = [&] { Range(at + 1, close_[at]); };
    if (condition.uniform()) return Branch(condition.value, body);
    if (mask_ == nullptr && condition.all != nullptr && versions_ < 2) {
      Value* rest = b_.CreateNot(condition.all);
      ++versions_;
      BasicBlock* after = Block("after");
      BasicBlock* whole = Block("whole");
      BasicBlock* partial = Block("partial");
      b_.CreateCondBr(rest, partial, whole);
      b_.SetInsertPoint(whole);
      body();
      b_.CreateBr(after);
      b_.SetInsertPoint(partial);
      Masked(condition, body);
      b_.CreateBr(after);
      b_.SetInsertPoint(after);
      --versions_;
      return;
    }
    Masked(condition, body);
  }

  // body() for the lanes that hold `condition`, skipped when there are none: inside, some lane is
  // active, so what is uniform may be loaded and stored by a scalar.
  template <class Body>
  void Masked(const Lanes& condition, Body&& body) {
    Value* const outer = mask_;
    Value* mask = lanes_.Vector(condition);
    if (outer != nullptr) mask = b_.CreateAnd(outer, mask);
    Value* any =
        outer == nullptr && condition.any != nullptr ? condition.any : b_.CreateOrReduce(mask);
    Branch(any, [&] {
      mask_ = mask;
      body();
      mask_ = outer;
    });
  }

  void Step(size_t at) {
    const Inst& inst = kernel_.body[at];
    switch (inst.op) {
      case Op::kBuffer:
      case Op::kScalar:
      case Op::kShared:
      case Op::kBarrier:
        break;
      case Op::kConst:
        value_[at] = lanes_.Const(inst.type, inst.imm);
        break;
      case Op::kLocalId:
        value_[at] = lanes_.LocalId(inst.type);
        break;
      case Op::kGroupId:
        value_[at] = {.value = b_.CreateTrunc(group_, lanes_.ScalarType(inst.type))};
        value_[at].non_negative = value_[at].index = true;
        break;
      case Op::kCell:
        SetCell(inst, at, nullptr);
        break;
      case Op::kSet:
        SetCell(inst, static_cast<size_t>(inst.a.id), mask_);
        break;
      case Op::kGet: {
        const Lanes& cell = Of(inst.a);
        llvm::Type* type =
            cell.uniform() ? lanes_.ScalarType(inst.type) : lanes_.VectorType(inst.type);
        value_[at] = {.shape = cell.shape, .value = b_.CreateLoad(type, cell.value)};
        break;
      }
      case Op::kLoad:
        value_[at] = memory_.Load(inst.type, Of(inst.a).value, Of(inst.b), mask_);
        break;
      case Op::kStore:
        memory_.Store(kernel_[inst.a].type, Of(inst.a).value, Of(inst.b), Of(inst.c), mask_);
        break;
      case Op::kReduceAdd:
      case Op::kReduceMul:
      case Op::kReduceMax:
      case Op::kReduceMin:
        value_[at] = lanes_.Reduce(inst.op, inst.type, Of(inst.a));
        break;
      case Op::kShuffleXor:
        value_[at] = lanes_.ShuffleXor(Of(inst.a), static_cast<int>(inst.imm));
        break;
      default:
        value_[at] = Compute(at);
        break;
    }
  }

  Lanes Compute(size_t at) {
    const Inst& inst = kernel_.body[at];
    const auto operand = [&](kernel::Value v) { return v.valid() ? &Of(v) : nullptr; };
    const Type from = kernel_[inst.op == Op::kSelect ? inst.b : inst.a].type;
    return lanes_.Pure(inst, from, {operand(inst.a), operand(inst.b), operand(inst.c)}, index_[at]);
  }

  // kCell's initial value (its operand a) or kSet's value (its operand b).
  void SetCell(const Inst& inst, size_t cell_at, Value* mask) {
    const Lanes& cell = value_[cell_at];
    const Lanes& from = Of(inst.op == Op::kCell ? inst.a : inst.b);
    Value* value = cell.uniform() ? from.value : lanes_.Vector(from);
    if (mask != nullptr && !cell.uniform()) {
      Value* old = b_.CreateLoad(value->getType(), cell.value);
      value = b_.CreateSelect(mask, value, old);
    }
    b_.CreateStore(value, cell.value);
  }

  const Kernel& kernel_;
  llvm::Function& function_;
  llvm::IRBuilder<> b_;
  LaneEmitter lanes_;
  MemoryEmitter memory_;
  kernel::Uniformity uniform_;
  std::vector<bool> index_;
  std::vector<Lanes> value_;   // by instruction; of buffers, shared memory and cells, the pointer
  std::vector<size_t> close_;  // by bracket: its end
  Value* group_ = nullptr;
  Value* mask_ = nullptr;  // null: all lanes
  int versions_ = 0;       // of the bracket now written
};

}  // namespace

void EmitKernel(const Kernel& kernel, llvm::Function& function) { Walker(kernel, function).Run(); }

}  // namespace rlx::cpu
