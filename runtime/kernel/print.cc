// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/text.h"
#include "runtime/kernel/scalar.h"
#include "runtime/kernel/text.h"

namespace rlx::kernel {
namespace {

// Floats in the shortest form that reads back; NaNs by their bits, so that nothing is lost.
std::string ConstText(Type t, Bits bits) {
  if (!Has(kFloats | kNarrowFloats, t)) return Cat(bits);
  const double value = ToDouble(t, bits);
  if (value != value) return Cat("bits:", bits);
  return t == Type::kF64 ? Cat(value) : Cat(static_cast<float>(value));
}

std::string Immediate(const Inst& inst) {
  switch (inst.op) {
    case Op::kConst:
      return Cat(" ", ConstText(inst.type, inst.imm));
    case Op::kBuffer:
    case Op::kScalar:
    case Op::kShared:
    case Op::kShuffleXor:
      return Cat(" ", inst.imm);
    default:
      return {};
  }
}

std::string Line(const Inst& inst, size_t at) {
  std::string out;
  if (inst.type != Type::kVoid) out = Cat("%", at, " = ");
  out += Name(inst.op);
  if (inst.type != Type::kVoid) out += Cat(" ", Name(inst.type));
  for (Value v : {inst.a, inst.b, inst.c}) {
    if (v.valid()) out += Cat(" %", v.id);
  }
  return out + Immediate(inst);
}

}  // namespace

std::string Print(const Kernel& kernel) {
  std::string out = Cat("kernel ", kernel.name, " local ", kernel.local, "\n");
  const auto buffer = [](std::string& text, const BufferParam& param) {
    text += Cat(Name(param.type), param.writable ? " mut" : "");
  };
  const auto scalar = [](std::string& text, Type t) { text += Name(t); };
  if (!kernel.buffers.empty()) out += Cat("buffers ", Join(kernel.buffers, ", ", buffer), "\n");
  if (!kernel.scalars.empty()) out += Cat("scalars ", Join(kernel.scalars, ", ", scalar), "\n");
  if (!kernel.source.empty()) out += Cat("source\n", kernel.source);
  size_t depth = 0;
  for (size_t at = 0; at < kernel.body.size(); ++at) {
    const Inst& inst = kernel.body[at];
    if (inst.op == Op::kEnd && depth > 0) --depth;
    out += std::string(2 * depth, ' ') + Line(inst, at) + "\n";
    if (inst.op == Op::kLoop || inst.op == Op::kIf) ++depth;
  }
  return out;
}

}  // namespace rlx::kernel
