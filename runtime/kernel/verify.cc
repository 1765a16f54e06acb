// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel/verify.h"

#include <array>
#include <bit>

#include "runtime/base/status.h"
#include "runtime/kernel/scalar.h"
#include "runtime/kernel/uniform.h"

namespace rlx::kernel {
namespace {

// What the rules see while the list is walked.
struct Place {
  const Kernel& kernel;
  const Uniformity* uniform = nullptr;  // null while operands are not yet known to be sound
  size_t at = 0;
  std::vector<size_t> open;   // brackets around `at`
  std::vector<bool> visible;  // by instruction

  const Inst& inst() const { return kernel.body[at]; }
  Type TypeOf(Value v) const { return kernel[v].type; }
  Op OpOf(Value v) const { return kernel[v].op; }
};

using Complaint = std::string;  // empty: the rule holds
using Rule = Complaint (*)(const Place&);

std::array<Value, 3> OperandsOf(const Inst& inst) { return {inst.a, inst.b, inst.c}; }

bool IsPointer(Op op) { return op == Op::kBuffer || op == Op::kShared; }

// --- Operands
// --------------------------------------------------------------------------------------

Complaint HasItsOperands(const Place& p) {
  const std::array<Value, 3> operands = OperandsOf(p.inst());
  const int wanted = Info(p.inst().op).operands;
  for (int i = 0; i < 3; ++i) {
    const Value v = operands[static_cast<size_t>(i)];
    if (v.valid() == (i < wanted)) continue;
    return Cat(i < wanted ? "lacks" : "has no use for", " operand ", i + 1);
  }
  return {};
}

Complaint OperandsAreDefinedBefore(const Place& p) {
  for (Value v : OperandsOf(p.inst())) {
    if (!v.valid()) continue;
    if (static_cast<size_t>(v.id) >= p.at) return Cat("uses %", v.id, " before it is defined");
    if (!p.visible[static_cast<size_t>(v.id)]) return Cat("uses %", v.id, " outside its bracket");
    if (p.TypeOf(v) == Type::kVoid) return Cat("uses %", v.id, ", which has no result");
  }
  return {};
}

// Pointers and cells are not values: each can stand only where it is read or written through.
Complaint PointersAndCellsStandInTheirPlaces(const Place& p) {
  const Inst& inst = p.inst();
  const bool through_pointer = inst.op == Op::kLoad || inst.op == Op::kStore;
  const bool through_cell = inst.op == Op::kGet || inst.op == Op::kSet;
  for (Value v : OperandsOf(inst)) {
    if (!v.valid()) continue;
    const bool first = v == inst.a;
    if (first && through_pointer != IsPointer(p.OpOf(v))) {
      return Cat("operand %", v.id, through_pointer ? " is no pointer" : " is a pointer");
    }
    if (first && through_cell != (p.OpOf(v) == Op::kCell)) {
      return Cat("operand %", v.id, through_cell ? " is no cell" : " is a cell");
    }
    const bool not_value = IsPointer(p.OpOf(v)) || p.OpOf(v) == Op::kCell;
    if (!first && not_value) return Cat("operand %", v.id, " is not a value");
  }
  if ((inst.b.valid() && inst.b == inst.a && (through_pointer || through_cell))) {
    return Cat("operand %", inst.b.id, " is not a value");
  }
  return {};
}

// --- Types
// -----------------------------------------------------------------------------------------

Complaint Differs(int operand, Type is, Type wanted) {
  return Cat("operand ", operand, " is ", Name(is), ", not ", Name(wanted));
}

Complaint TypesFitTheForm(const Place& p) {
  const Inst& inst = p.inst();
  const OpInfo& info = Info(inst.op);
  if (info.form == Form::kSpecial) {
    const bool fits = info.types == 0 ? inst.type == Type::kVoid : Has(info.types, inst.type);
    return fits ? Complaint() : Cat("cannot have type ", Name(inst.type));
  }
  const bool compares = info.form == Form::kCompare;
  if (compares && inst.type != Type::kBool) return "must have type bool";
  const Type type = compares ? p.TypeOf(inst.a) : inst.type;
  if (!Has(info.types, type)) return Cat("is not defined on ", Name(type));
  for (int i = 0; i < info.operands; ++i) {
    const Type is = p.TypeOf(OperandsOf(inst)[static_cast<size_t>(i)]);
    if (is != type) return Differs(i + 1, is, type);
  }
  return {};
}

Complaint MemoryTypesAgree(const Place& p) {
  const Inst& inst = p.inst();
  switch (inst.op) {
    case Op::kLoad:
    case Op::kStore: {
      if (!Has(kIndices, p.TypeOf(inst.b))) return "the index is neither i32 nor i64";
      const Type element = p.TypeOf(inst.a);
      const Type value = inst.op == Op::kLoad ? inst.type : p.TypeOf(inst.c);
      return value == element ? Complaint() : Cat("moves ", Name(value), ", not ", Name(element));
    }
    case Op::kCell:
    case Op::kGet:
      return p.TypeOf(inst.a) == inst.type ? "" : Differs(1, p.TypeOf(inst.a), inst.type);
    case Op::kSet:
      if (p.TypeOf(inst.a) == p.TypeOf(inst.b)) return {};
      return Differs(2, p.TypeOf(inst.b), p.TypeOf(inst.a));
    default:
      return {};
  }
}

Complaint OtherTypesAgree(const Place& p) {
  const Inst& inst = p.inst();
  switch (inst.op) {
    case Op::kIf:
      return p.TypeOf(inst.a) == Type::kBool ? "" : Differs(1, p.TypeOf(inst.a), Type::kBool);
    case Op::kLoop:
      return p.TypeOf(inst.a) == inst.type ? "" : Differs(1, p.TypeOf(inst.a), inst.type);
    case Op::kSelect:
      if (p.TypeOf(inst.a) != Type::kBool) return Differs(1, p.TypeOf(inst.a), Type::kBool);
      if (p.TypeOf(inst.b) != inst.type) return Differs(2, p.TypeOf(inst.b), inst.type);
      return p.TypeOf(inst.c) == inst.type ? "" : Differs(3, p.TypeOf(inst.c), inst.type);
    case Op::kBitcast:
      return ByteWidth(p.TypeOf(inst.a)) == ByteWidth(inst.type) && inst.type != Type::kBool &&
                     p.TypeOf(inst.a) != Type::kBool
                 ? Complaint()
                 : Cat("cannot read ", Name(p.TypeOf(inst.a)), " as ", Name(inst.type));
    default:
      return {};
  }
}

// --- Declarations
// ----------------------------------------------------------------------------------

Complaint ParametersMatchTheSignature(const Place& p) {
  const Inst& inst = p.inst();
  const auto slot = static_cast<size_t>(inst.imm);
  switch (inst.op) {
    case Op::kBuffer:
      if (inst.imm < 0 || slot >= p.kernel.buffers.size()) return Cat("has no slot ", inst.imm);
      return p.kernel.buffers[slot].type == inst.type ? "" : "differs in type from its slot";
    case Op::kScalar:
      if (inst.imm < 0 || slot >= p.kernel.scalars.size()) return Cat("has no slot ", inst.imm);
      return p.kernel.scalars[slot] == inst.type ? "" : "differs in type from its slot";
    default:
      return {};
  }
}

Complaint DeclarationsStandOutside(const Place& p) {
  const Op op = p.inst().op;
  const bool declares = op == Op::kBuffer || op == Op::kScalar || op == Op::kShared;
  return declares && !p.open.empty() ? "must stand outside all brackets" : "";
}

Complaint SharedMemoryIsBounded(const Place& p) {
  constexpr int64_t kMost = 1 << 16;
  if (p.inst().op != Op::kShared) return {};
  return p.inst().imm >= 1 && p.inst().imm <= kMost
             ? ""
             : Cat("cannot have ", p.inst().imm, " elements");
}

Complaint ShufflesStayInTheSubgroup(const Place& p) {
  if (p.inst().op != Op::kShuffleXor) return {};
  const int64_t mask = p.inst().imm, most = std::min(kSubgroup, p.kernel.local);
  const bool one_bit = mask > 0 && std::has_single_bit(static_cast<uint64_t>(mask));
  return one_bit && mask < most ? "" : Cat("cannot have the mask ", mask);
}

Complaint ConstantsAreInRange(const Place& p) {
  const Inst& inst = p.inst();
  if (inst.op != Op::kConst) return {};
  unsigned char memory[8];
  StoreScalar(inst.type, inst.imm, memory);
  return LoadScalar(inst.type, memory) == inst.imm ? ""
                                                   : Cat("is not a value of ", Name(inst.type));
}

Complaint ImmediatesAreUsed(const Place& p) {
  switch (p.inst().op) {
    case Op::kBuffer:
    case Op::kScalar:
    case Op::kShared:
    case Op::kConst:
    case Op::kShuffleXor:
      return {};
    default:
      return p.inst().imm == 0 ? "" : "has no use for an immediate";
  }
}

Complaint StoresGoToWritableMemory(const Place& p) {
  const Inst& inst = p.inst();
  if (inst.op != Op::kStore || p.OpOf(inst.a) != Op::kBuffer) return {};
  const auto slot = static_cast<size_t>(p.kernel[inst.a].imm);
  return p.kernel.buffers[slot].writable ? ""
                                         : Cat("writes to %", inst.a.id, ", a read-only buffer");
}

// --- Control flow
// ----------------------------------------------------------------------------------

Complaint EndsCloseSomething(const Place& p) {
  return p.inst().op == Op::kEnd && p.open.empty() ? "closes no bracket" : "";
}

Complaint LoopsAreUniform(const Place& p) {
  if (p.inst().op != Op::kLoop || p.uniform == nullptr) return {};
  return p.uniform->value[static_cast<size_t>(p.inst().a.id)]
             ? ""
             : "has a trip count that lanes differ on";
}

Complaint LanesMeetWhole(const Place& p) {
  if (p.uniform == nullptr || p.uniform->reached[p.at]) return {};
  switch (p.inst().op) {
    case Op::kBarrier:
    case Op::kReduceAdd:
    case Op::kReduceMul:
    case Op::kReduceMax:
    case Op::kReduceMin:
    case Op::kShuffleXor:
      return "stands under an if that lanes may disagree on";
    default:
      return {};
  }
}

// In this order: later rules rely on earlier ones.
constexpr Rule kRules[] = {
    HasItsOperands,
    OperandsAreDefinedBefore,
    EndsCloseSomething,
    PointersAndCellsStandInTheirPlaces,
    TypesFitTheForm,
    MemoryTypesAgree,
    OtherTypesAgree,
    ParametersMatchTheSignature,
    DeclarationsStandOutside,
    SharedMemoryIsBounded,
    ShufflesStayInTheSubgroup,
    ConstantsAreInRange,
    ImmediatesAreUsed,
    StoresGoToWritableMemory,
    LoopsAreUniform,
    LanesMeetWhole,
};

bool IsIdentifier(std::string_view name) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  if (name.empty() || !letter(name[0])) return false;
  for (char c : name) {
    if (!letter(c) && (c < '0' || c > '9')) return false;
  }
  return true;
}

absl::Status VerifySignature(const Kernel& kernel) {
  if (!IsIdentifier(kernel.name))
    return Internal("kernel \"", kernel.name, "\": not an identifier");
  // Instructions reduce over a group by halves of its lanes; a source may do as it likes.
  const bool reduces = kernel.source.empty();
  if (kernel.local < 1 || kernel.local > kMaxLocal ||
      (reduces && !std::has_single_bit(static_cast<unsigned>(kernel.local)))) {
    return Internal(kernel.name, ": a group cannot have ", kernel.local, " lanes");
  }
  for (const BufferParam& buffer : kernel.buffers) {
    if (buffer.type == Type::kVoid) return Internal(kernel.name, ": a buffer of void");
  }
  constexpr TypeSet kScalars = kFloats | Bit(Type::kI64);
  for (Type t : kernel.scalars) {
    if (!Has(kScalars, t)) return Internal(kernel.name, ": a scalar of type ", Name(t));
  }
  return absl::OkStatus();
}

void Enter(Place& p) {
  const Op op = p.inst().op;
  p.visible[p.at] = true;
  if (op == Op::kLoop || op == Op::kIf) p.open.push_back(p.at);
  if (op != Op::kEnd) return;
  for (size_t i = p.open.back(); i <= p.at; ++i) p.visible[i] = false;
  p.open.pop_back();
}

absl::Status Walk(const Kernel& kernel, const Uniformity* uniform) {
  Place p{kernel, uniform, 0, {}, std::vector<bool>(kernel.body.size())};
  for (; p.at < kernel.body.size(); ++p.at) {
    for (Rule rule : kRules) {
      const Complaint complaint = rule(p);
      if (complaint.empty()) continue;
      return Internal(kernel.name, ": %", p.at, " ", Name(p.inst().op), ": ", complaint);
    }
    Enter(p);
  }
  if (p.open.empty()) return absl::OkStatus();
  const size_t at = p.open.back();
  return Internal(kernel.name, ": %", at, " ", Name(kernel.body[at].op), ": is never closed");
}

}  // namespace

absl::Status Verify(const Kernel& kernel) {
  RLX_TRY(VerifySignature(kernel));
  if (!kernel.source.empty()) {
    return kernel.body.empty() ? absl::OkStatus()
                               : Internal(kernel.name, ": has a source and a body");
  }
  RLX_TRY(Walk(kernel, nullptr));
  const Uniformity uniform = FindUniform(kernel);
  return Walk(kernel, &uniform);
}

}  // namespace rlx::kernel
