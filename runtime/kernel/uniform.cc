// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel/uniform.h"

#include <array>

#include "runtime/kernel/op.h"

namespace rlx::kernel {
namespace {

struct Finder {
  const Kernel& kernel;
  Uniformity found;

  bool Uniform(Value v) const { return !v.valid() || found.value[static_cast<size_t>(v.id)]; }

  bool ResultIsUniform(const Inst& inst) const {
    switch (inst.op) {
      case Op::kLocalId:
      case Op::kShuffleXor:
        return false;
      case Op::kReduceAdd:
      case Op::kReduceMul:
      case Op::kReduceMax:
      case Op::kReduceMin:
        return true;
      default:
        return Uniform(inst.a) && Uniform(inst.b) && Uniform(inst.c);
    }
  }

  // Cells begin as uniform and only ever lose it, so a few rounds reach the fixed point.
  bool Round() {
    bool changed = false;
    std::vector<bool> divergent;  // by open bracket
    for (size_t at = 0; at < kernel.body.size(); ++at) {
      const Inst& inst = kernel.body[at];
      if (inst.op == Op::kEnd && !divergent.empty()) divergent.pop_back();
      const bool reached = divergent.empty() || !divergent.back();
      found.reached[at] = reached;
      const bool uniform = ResultIsUniform(inst);
      if (inst.op == Op::kLoop) divergent.push_back(!reached);
      if (inst.op == Op::kIf) divergent.push_back(!reached || !uniform);
      if (inst.op == Op::kSet) {
        changed |= Lose(static_cast<size_t>(inst.a.id), reached && Uniform(inst.b));
      }
      changed |= Lose(at, uniform);
    }
    return changed;
  }

  bool Lose(size_t at, bool uniform) {
    if (uniform || !found.value[at]) return false;
    found.value[at] = false;
    return true;
  }
};

}  // namespace

Uniformity FindUniform(const Kernel& kernel) {
  const size_t size = kernel.body.size();
  Finder finder{kernel, {std::vector<bool>(size, true), std::vector<bool>(size, true)}};
  while (finder.Round()) {
  }
  return std::move(finder.found);
}

std::vector<bool> FindIndices(const Kernel& kernel) {
  std::vector<bool> index(kernel.body.size());
  const auto made_of_indices = [&](const Inst& inst) {
    bool any = false;
    for (Value v : {inst.a, inst.b, inst.c}) {
      if (!v.valid()) continue;
      const bool is_index = index[static_cast<size_t>(v.id)];
      if (!is_index && kernel[v].op != Op::kConst) return false;
      any |= is_index;
    }
    return any;
  };
  for (size_t at = 0; at < kernel.body.size(); ++at) {
    const Inst& inst = kernel.body[at];
    if (!Has(kIndices, inst.type)) continue;
    switch (inst.op) {
      case Op::kGroupId:
      case Op::kLocalId:
      case Op::kLoop:
      case Op::kScalar:
        index[at] = true;
        break;
      case Op::kAdd:
      case Op::kSub:
      case Op::kMul:
      case Op::kDiv:
      case Op::kRem:
      case Op::kMin:
      case Op::kMax:
      case Op::kNeg:
      case Op::kCast:
        index[at] = made_of_indices(inst);
        break;
      default:
        break;
    }
  }
  return index;
}

}  // namespace rlx::kernel
