// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel/builder.h"

#include <limits>

#include "runtime/base/status.h"
#include "runtime/kernel/scalar.h"
#include "runtime/kernel/uniform.h"
#include "runtime/kernel/verify.h"

namespace rlx::kernel {
namespace {

bool IsOpener(Op op) { return op == Op::kLoop || op == Op::kIf; }

bool CanShare(Op op) { return op == Op::kConst || op == Op::kGroupId || op == Op::kLocalId; }

Op ScalarOpOf(Op reduce) {
  switch (reduce) {
    case Op::kReduceAdd:
      return Op::kAdd;
    case Op::kReduceMul:
      return Op::kMul;
    case Op::kReduceMax:
      return Op::kMax;
    default:
      return Op::kMin;
  }
}

}  // namespace

Builder::Builder(std::string name, int local) {
  kernel_.name = std::move(name);
  kernel_.local = local;
}

Builder::Builder(const Kernel& like) : kernel_(like) { kernel_.body.clear(); }

Value Builder::Buffer(Type t, bool writable) {
  kernel_.buffers.push_back({t, writable});
  const auto slot = static_cast<int64_t>(kernel_.buffers.size()) - 1;
  return Emit({.op = Op::kBuffer, .type = t, .imm = slot});
}

Value Builder::Scalar(Type t) {
  kernel_.scalars.push_back(t);
  const auto slot = static_cast<int64_t>(kernel_.scalars.size()) - 1;
  return Emit({.op = Op::kScalar, .type = t, .imm = slot});
}

Value Builder::Shared(Type t, int64_t elements) {
  return Emit({.op = Op::kShared, .type = t, .imm = elements});
}

Type Builder::TypeOf(Value v) const {
  const bool known = v.valid() && static_cast<size_t>(v.id) < kernel_.body.size();
  return known ? kernel_[v].type : Type::kVoid;
}

Value Builder::Float(Type t, double v) {
  return Emit({.op = Op::kConst, .type = t, .imm = EncodeFloat(t, v)});
}

Value Builder::Int(Type t, int64_t v) {
  return Emit({.op = Op::kConst, .type = t, .imm = EncodeInt(t, v)});
}

Value Builder::Identity(Op reduce, Type t) {
  if (reduce == Op::kReduceAdd) return Int(t, 0);
  if (reduce == Op::kReduceMul) return Int(t, 1);
  const bool max = reduce == Op::kReduceMax;
  if (Has(kFloats, t)) {
    const double infinity = std::numeric_limits<double>::infinity();
    return Float(t, max ? -infinity : infinity);
  }
  const int width = 8 * ByteWidth(t);
  if (t == Type::kU32) return Int(t, max ? 0 : -1);
  const auto lowest = static_cast<int64_t>(~uint64_t{0} << (width - 1));
  return Int(t, max ? lowest : ~lowest);
}

Value Builder::GlobalId(Type t) {
  const Value first = Mul(GroupId(t), Int(t, kernel_.local));
  return Add(first, LocalId(t));
}

Value Builder::Load(Value buffer, Value index) {
  return Emit({.op = Op::kLoad, .type = TypeOf(buffer), .a = buffer, .b = index});
}

void Builder::Store(Value buffer, Value index, Value value) {
  Emit({.op = Op::kStore, .a = buffer, .b = index, .c = value});
}

Value Builder::LoadWide(Value buffer, Value index) {
  const Value narrow = Load(buffer, index);
  return Cast(WideOf(TypeOf(buffer)), narrow);
}

void Builder::StoreCast(Value buffer, Value index, Value value) {
  Store(buffer, index, Cast(TypeOf(buffer), value));
}

Value Builder::Cell(Value initial) {
  return Emit({.op = Op::kCell, .type = TypeOf(initial), .a = initial});
}

Value Builder::Get(Value cell) { return Emit({.op = Op::kGet, .type = TypeOf(cell), .a = cell}); }

void Builder::Set(Value cell, Value value) { Emit({.op = Op::kSet, .a = cell, .b = value}); }

Value Builder::Combine(Op reduce, Value a, Value b) { return Binary(ScalarOpOf(reduce), a, b); }

Value Builder::Fma(Value a, Value b, Value c) {
  return Emit({.op = Op::kFma, .type = TypeOf(a), .a = a, .b = b, .c = c});
}

Value Builder::Select(Value condition, Value a, Value b) {
  return Emit({.op = Op::kSelect, .type = TypeOf(a), .a = condition, .b = a, .c = b});
}

Value Builder::Cast(Type to, Value v) {
  if (TypeOf(v) == to) return v;
  return Emit({.op = Op::kCast, .type = to, .a = v});
}

Value Builder::Bitcast(Type to, Value v) {
  if (TypeOf(v) == to) return v;
  return Emit({.op = Op::kBitcast, .type = to, .a = v});
}

Value Builder::Unary(Op op, Value a) { return Emit({.op = op, .type = TypeOf(a), .a = a}); }

Value Builder::Binary(Op op, Value a, Value b) {
  return Emit({.op = op, .type = TypeOf(a), .a = a, .b = b});
}

Value Builder::Compare(Op op, Value a, Value b) {
  return Emit({.op = op, .type = Type::kBool, .a = a, .b = b});
}

Value Builder::Emit(const Inst& inst) {
  if (const Value folded = Fold(inst); folded.valid()) return folded;
  if (const Value shared = Shareable(inst); shared.valid()) return shared;
  if (inst.op == Op::kEnd) --depth_;
  kernel_.body.push_back(inst);
  const Value value{static_cast<int32_t>(kernel_.body.size()) - 1};
  if (depth_ == 0 && CanShare(inst.op)) top_level_.push_back(value.id);
  if (IsOpener(inst.op)) ++depth_;
  return value;
}

Value Builder::Shareable(const Inst& inst) const {
  if (!CanShare(inst.op)) return {};
  for (int32_t id : top_level_) {
    if (kernel_[Value{id}] == inst) return Value{id};
  }
  return {};
}

bool Builder::Constant(Value v, int64_t* bits) const {
  if (!v.valid() || static_cast<size_t>(v.id) >= kernel_.body.size()) return false;
  *bits = kernel_[v].imm;
  return kernel_[v].op == Op::kConst;
}

// The constant or the operand that a pure operation comes to; none if it has to be computed. Float
// identities are left alone: x + 0 is not x when x is -0.
Value Builder::Fold(const Inst& inst) {
  const OpInfo& info = Info(inst.op);
  if (!info.pure || inst.op == Op::kConst || !inst.a.valid()) return {};
  std::array<Bits, 3> bits{};
  bool all = true;
  const std::array<Value, 3> operands = {inst.a, inst.b, inst.c};
  std::array<bool, 3> known{};
  for (size_t i = 0; i < static_cast<size_t>(info.operands); ++i) {
    known[i] = Constant(operands[i], &bits[i]);
    all &= known[i];
  }
  if (all) {
    const Type from = TypeOf(inst.op == Op::kSelect ? inst.b : inst.a);
    return Emit(
        {.op = Op::kConst, .type = inst.type, .imm = Evaluate(inst.op, inst.type, from, bits)});
  }
  if (inst.op == Op::kSelect && known[0]) return bits[0] != 0 ? inst.b : inst.c;
  if (!Has(kIntegers, inst.type)) return {};
  switch (inst.op) {
    case Op::kAdd:
      if (known[0] && bits[0] == 0) return inst.b;
      return known[1] && bits[1] == 0 ? inst.a : Value{};
    case Op::kSub:
      return known[1] && bits[1] == 0 ? inst.a : Value{};
    case Op::kMul:
      if ((known[0] && bits[0] == 1) || (known[1] && bits[1] == 0)) return inst.b;
      return (known[1] && bits[1] == 1) || (known[0] && bits[0] == 0) ? inst.a : Value{};
    case Op::kDiv:
      return known[1] && bits[1] == 1 ? inst.a : Value{};
    case Op::kRem:
      return known[1] && bits[1] == 1 ? Int(inst.type, 0) : Value{};
    default:
      return {};
  }
}

Builder::Stride Builder::SplitExtent(Value extent) {
  const Type t = TypeOf(extent);
  const Value local = Int(t, kernel_.local);
  Stride stride;
  int64_t count = 0;
  if (Constant(extent, &count)) {
    if (count <= 0) return stride;
    const int64_t full = count / kernel_.local;
    if (full > 0) stride.trips = Int(t, full);
    if (count % kernel_.local == 0) return stride;
    stride.last = Add(LocalId(t), Int(t, full * kernel_.local));
  } else {
    stride.trips = Div(extent, local);
    stride.last = Add(Mul(stride.trips, local), LocalId(t));
  }
  stride.rest = Lt(stride.last, extent);
  return stride;
}

Value Builder::LaneIndex(Value step) {
  const Type t = TypeOf(step);
  const Value first = Mul(step, Int(t, kernel_.local));
  return Add(first, LocalId(t));
}

absl::StatusOr<Kernel> Builder::Finish() && {
  RLX_TRY(Verify(kernel_));
  return std::move(kernel_);
}

}  // namespace rlx::kernel
