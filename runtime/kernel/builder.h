// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <absl/status/statusor.h>

#include <utility>

#include "runtime/kernel/kernel.h"

namespace rlx::kernel {

// Writes a kernel front to back. The sum of two vectors of n elements, one per lane:
//
//   Builder b("add", /*local=*/8);
//   Value x = b.Input(Type::kF32), y = b.Input(Type::kF32), out = b.Output(Type::kF32);
//   Value n = b.Scalar(Type::kI64);
//   Value i = b.GlobalId(Type::kI64);
//   b.If(b.Lt(i, n), [&] { b.Store(out, i, b.Add(b.Load(x, i), b.Load(y, i))); });
//   RLX_ASSIGN(Kernel add, std::move(b).Finish());       // launched with ceil(n / 8) groups
//
// and the mean of each row of a matrix with n columns, a row a group:
//
//   Value base = b.Mul(b.GroupId(Type::kI64), b.I64(n));
//   Value sum = b.ReduceOver(Op::kReduceAdd, Type::kF32, b.I64(n),
//                            [&](Value column) { return b.Load(x, b.Add(base, column)); });
//   b.Store(out, b.GroupId(Type::kI64), b.Mul(sum, b.F32(1.0f / n)));
//
// Result types follow from operands. Nothing is checked here: Finish() verifies the whole kernel,
// and says kInternal about the first instruction that is wrong. Operations on constants are folded,
// and repeated parameters, constants and ids at the top level are shared.
class Builder {
 public:
  Builder(std::string name, int local);
  explicit Builder(const Kernel& like);  // its name, width and parameters; an empty body

  // Parameters, in slot order. A buffer's type is that of its elements in memory.
  Value Input(Type t) { return Buffer(t, false); }
  Value Output(Type t) { return Buffer(t, true); }
  Value Buffer(Type t, bool writable);
  Value Scalar(Type t);
  Value Shared(Type t, int64_t elements);
  int local() const { return kernel_.local; }
  Type TypeOf(Value v) const;

  // Constants.
  Value Float(Type t, double v);
  Value Int(Type t, int64_t v);  // any type: 1 as f32 is 1.0
  Value F32(float v) { return Float(Type::kF32, static_cast<double>(v)); }
  Value I32(int32_t v) { return Int(Type::kI32, v); }
  Value I64(int64_t v) { return Int(Type::kI64, v); }
  Value Bool(bool v) { return Int(Type::kBool, v ? 1 : 0); }
  // The neutral element of a reduction: 0, 1, -inf or the lowest integer, +inf or the highest.
  Value Identity(Op reduce, Type t);

  Value GroupId(Type t) { return Emit({.op = Op::kGroupId, .type = t}); }
  Value LocalId(Type t) { return Emit({.op = Op::kLocalId, .type = t}); }
  Value GlobalId(Type t);  // group * local + lane

  // Memory, cells.
  Value Load(Value buffer, Value index);
  void Store(Value buffer, Value index, Value value);
  Value LoadWide(Value buffer, Value index);               // cast to WideOf the buffer's type
  void StoreCast(Value buffer, Value index, Value value);  // cast to the buffer's type
  Value Cell(Value initial);
  Value Get(Value cell);
  void Set(Value cell, Value value);
  void Barrier() { Emit({.op = Op::kBarrier}); }

  // Brackets. `body` writes what stands inside; For gives it the counter.
  template <class Body>
  void For(Value trips, Body&& body) {
    const Value counter = Emit({.op = Op::kLoop, .type = TypeOf(trips), .a = trips});
    body(counter);
    Emit({.op = Op::kEnd});
  }
  template <class Body>
  void If(Value condition, Body&& body) {
    Emit({.op = Op::kIf, .a = condition});
    body();
    Emit({.op = Op::kEnd});
  }
  // The lanes of a group go over 0 .. extent - 1 together, `local` neighbours at a time; body(i) is
  // written twice when extent is not known to be a multiple of `local` (full strides, then the rest
  // under an If), so it must not depend on being called once.
  template <class Body>
  void ForLanes(Value extent, Body&& body) {
    const Stride stride = SplitExtent(extent);
    if (stride.trips.valid()) {
      For(stride.trips, [&](Value step) { body(LaneIndex(step)); });
    }
    if (stride.rest.valid()) If(stride.rest, [&] { body(stride.last); });
  }
  // Reduces element(i), a value of type t, over i in 0 .. extent - 1 with all lanes; `op` is a
  // kReduce*.
  template <class Element>
  Value ReduceOver(Op op, Type t, Value extent, Element&& element) {
    const Value cell = Cell(Identity(op, t));
    ForLanes(extent, [&](Value i) { Set(cell, Combine(op, Get(cell), element(i))); });
    return Reduce(op, Get(cell));
  }
  Value Reduce(Op op, Value v) { return Unary(op, v); }
  Value Combine(Op reduce, Value a, Value b);  // kReduceAdd: a + b, …
  Value ShuffleXor(Value v, int mask) {
    return Emit({.op = Op::kShuffleXor, .type = TypeOf(v), .a = v, .imm = mask});
  }

  // Arithmetic; both operands have one type.
  Value Add(Value a, Value b) { return Binary(Op::kAdd, a, b); }
  Value Sub(Value a, Value b) { return Binary(Op::kSub, a, b); }
  Value Mul(Value a, Value b) { return Binary(Op::kMul, a, b); }
  Value Div(Value a, Value b) { return Binary(Op::kDiv, a, b); }
  Value Rem(Value a, Value b) { return Binary(Op::kRem, a, b); }
  Value Min(Value a, Value b) { return Binary(Op::kMin, a, b); }
  Value Max(Value a, Value b) { return Binary(Op::kMax, a, b); }
  Value And(Value a, Value b) { return Binary(Op::kAnd, a, b); }
  Value Or(Value a, Value b) { return Binary(Op::kOr, a, b); }
  Value Not(Value a) { return Unary(Op::kNot, a); }
  Value Neg(Value a) { return Unary(Op::kNeg, a); }
  Value Fma(Value a, Value b, Value c);
  Value Eq(Value a, Value b) { return Compare(Op::kEq, a, b); }
  Value Ne(Value a, Value b) { return Compare(Op::kNe, a, b); }
  Value Lt(Value a, Value b) { return Compare(Op::kLt, a, b); }
  Value Le(Value a, Value b) { return Compare(Op::kLe, a, b); }
  Value Gt(Value a, Value b) { return Compare(Op::kLt, b, a); }
  Value Ge(Value a, Value b) { return Compare(Op::kLe, b, a); }
  Value Select(Value condition, Value a, Value b);
  Value Cast(Type to, Value v);  // v itself when it has the type
  Value Bitcast(Type to, Value v);
  // Any op whose result has its operands' type: mathematics, reductions, shifts …
  Value Unary(Op op, Value a);
  Value Binary(Op op, Value a, Value b);
  Value Compare(Op op, Value a, Value b);

  // Appends an instruction as it is, or the constant it folds to.
  Value Emit(const Inst& inst);

  absl::StatusOr<Kernel> Finish() &&;  // verified

 private:
  struct Stride {
    Value trips;  // of full strides; none: there are none
    Value rest;   // condition of the last, partial one; none: there is none
    Value last;   // its lane's index
  };
  Stride SplitExtent(Value extent);
  Value LaneIndex(Value step);  // step * local + lane
  bool Constant(Value v, int64_t* bits) const;
  Value Fold(const Inst& inst);
  Value Shareable(const Inst& inst) const;

  Kernel kernel_;
  std::vector<int32_t> top_level_;  // constants and ids outside all brackets, shared when repeated
  int depth_ = 0;
};

}  // namespace rlx::kernel
