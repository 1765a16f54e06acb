// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "runtime/kernel/builder.h"

namespace rlx::kernel {

// Writes in `b` what stands for an instruction, whose operands are values of `b` already, and
// returns its result; returns none, having written nothing, to keep the instruction.
using Replace = std::function<Value(Builder& b, const Inst& inst)>;

// A copy of `kernel` with instructions replaced. Replacements are not themselves looked at again.
// `declare` writes what stands before all else.
absl::StatusOr<Kernel> Rewrite(const Kernel& kernel, const Replace& replace,
                               const std::function<void(Builder& b)>& declare = {});

}  // namespace rlx::kernel
