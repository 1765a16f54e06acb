// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/kernel/legalize/legalize.h"
#include "runtime/kernel/op.h"

namespace rlx::kernel {
namespace {

bool IsMath(Op op) { return op >= Op::kExp && op <= Op::kPow; }
bool IsReduction(Op op) { return op >= Op::kReduceAdd && op <= Op::kReduceMin; }
bool IsRounding(Op op) { return op == Op::kFloor || op == Op::kCeil || op == Op::kRound; }

bool Breaks(const Kernel& kernel, const Inst& inst, Property property) {
  const auto casts = [&](Type t) {
    return inst.op == Op::kCast && (inst.type == t || kernel[inst.a].type == t);
  };
  switch (property) {
    case Property::kNoMath32:
      return IsMath(inst.op) && inst.type == Type::kF32;
    case Property::kNoRounding:
      return IsRounding(inst.op);
    case Property::kNoF16Casts:
      return casts(Type::kF16);
    case Property::kNoBF16Casts:
      return casts(Type::kBF16);
    case Property::kNoFp8Casts:
      return casts(Type::kFp8E4M3) || casts(Type::kFp8E5M2);
    case Property::kNoReductions:
      return IsReduction(inst.op);
  }
  return false;
}

}  // namespace

absl::Status Require(const Kernel& kernel, std::span<const Property> properties) {
  for (size_t at = 0; at < kernel.body.size(); ++at) {
    const Inst& inst = kernel.body[at];
    for (Property property : properties) {
      if (!Breaks(kernel, inst, property)) continue;
      return Internal(kernel.name, ": %", at, " ", Name(inst.op), " ", Name(inst.type),
                      ": should have been legalized away");
    }
  }
  return absl::OkStatus();
}

}  // namespace rlx::kernel
