// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel/legalize/rewrite.h"

namespace rlx::kernel {

absl::StatusOr<Kernel> Rewrite(const Kernel& kernel, const Replace& replace,
                               const std::function<void(Builder& b)>& declare) {
  Builder b(kernel);
  if (declare) declare(b);
  std::vector<Value> copy(kernel.body.size());
  const auto mapped = [&](Value v) { return v.valid() ? copy[static_cast<size_t>(v.id)] : v; };
  for (size_t at = 0; at < kernel.body.size(); ++at) {
    Inst inst = kernel.body[at];
    inst.a = mapped(inst.a);
    inst.b = mapped(inst.b);
    inst.c = mapped(inst.c);
    const Value replaced = replace(b, inst);
    copy[at] = replaced.valid() ? replaced : b.Emit(inst);
  }
  return std::move(b).Finish();
}

}  // namespace rlx::kernel
