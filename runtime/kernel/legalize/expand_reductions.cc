// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "runtime/kernel/legalize/legalize.h"
#include "runtime/kernel/legalize/rewrite.h"
#include "runtime/kernel/op.h"

namespace rlx::kernel {
namespace {

bool IsReduction(Op op) { return op >= Op::kReduceAdd && op <= Op::kReduceMin; }

// Every subgroup goes down the tree by itself, from values that all lanes have put down side by
// side; what lane 0 has then, the others read at the end: so the result is known to be the same in
// every lane, and its bits do not depend on which lanes stood left and right.
class Expansion {
 public:
  explicit Expansion(const Kernel& kernel) : local_(kernel.local) {
    for (const Inst& inst : kernel.body) {
      used_[static_cast<size_t>(inst.type)] |= IsReduction(inst.op);
    }
  }

  // A place for each lane where subgroups have to meet, and one for the result.
  void Declare(Builder& b) {
    for (size_t t = 0; t < used_.size(); ++t) {
      if (used_[t] && local_ > 1) memory_[t] = b.Shared(static_cast<Type>(t), Result() + 1);
    }
  }

  Value Replace(Builder& b, const Inst& inst) {
    if (!IsReduction(inst.op)) return {};
    if (local_ == 1) return inst.a;
    const Value memory = memory_[static_cast<size_t>(inst.type)];
    const Value lane = b.LocalId(Type::kI32);
    Value sum = inst.a;
    if (local_ > kSubgroup) {
      b.Store(memory, lane, sum);
      b.Barrier();
      sum = AcrossSubgroups(b, inst.op, memory, lane);
    } else {
      b.Barrier();  // the last result has been read
    }
    for (int mask = std::min(local_, kSubgroup) / 2; mask > 0; mask /= 2) {
      sum = b.Combine(inst.op, sum, b.ShuffleXor(sum, mask));
    }
    b.If(b.Eq(lane, b.I32(0)), [&] { b.Store(memory, b.I32(Result()), sum); });
    b.Barrier();
    return b.Load(memory, b.I32(Result()));
  }

 private:
  int Result() const { return local_ > kSubgroup ? local_ : 0; }

  // The upper levels of the tree, for the lane's own place in a subgroup.
  Value AcrossSubgroups(Builder& b, Op op, Value memory, Value lane) const {
    const Value place = b.Rem(lane, b.I32(kSubgroup));
    std::vector<Value> values;
    for (int at = 0; at < local_; at += kSubgroup) {
      values.push_back(b.Load(memory, b.Add(place, b.I32(at))));
    }
    for (size_t half = values.size() / 2; half > 0; half /= 2) {
      for (size_t i = 0; i < half; ++i) values[i] = b.Combine(op, values[i], values[i + half]);
    }
    return values[0];
  }

  int local_;
  std::array<bool, kTypeCount> used_{};
  std::array<Value, kTypeCount> memory_{};
};

}  // namespace

absl::StatusOr<Kernel> ExpandReductions(const Kernel& kernel) {
  Expansion expansion(kernel);
  return Rewrite(
      kernel, [&](Builder& b, const Inst& inst) { return expansion.Replace(b, inst); },
      [&](Builder& b) { expansion.Declare(b); });
}

}  // namespace rlx::kernel
