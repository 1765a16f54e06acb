// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel/legalize/legalize.h"
#include "runtime/kernel/legalize/pieces.h"
#include "runtime/kernel/legalize/rewrite.h"

namespace rlx::kernel {

absl::StatusOr<Kernel> ExpandMath32(const Kernel& kernel) {
  return Rewrite(kernel, [](Builder& b, const Inst& inst) -> Value {
    if (inst.type != Type::kF32) return {};
    switch (inst.op) {
      case Op::kExp:
        return Exp32(b, inst.a);
      case Op::kExp2:
        return Exp2For32(b, inst.a);
      case Op::kTanh:
        return Tanh32(b, inst.a);
      case Op::kErf:
        return Erf32(b, inst.a);
      case Op::kLog:
        return Log32(b, inst.a);
      case Op::kSin:
      case Op::kCos:
      case Op::kTan:
        return Trigonometric32(b, inst.op, inst.a);
      case Op::kAtan:
        return Atan32(b, inst.a);
      case Op::kPow:
        return Pow32(b, inst.a, inst.b);
      default:
        return {};
    }
  });
}

}  // namespace rlx::kernel
