// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/kernel/kernel.h"

namespace llvm {
class Function;
}  // namespace llvm

namespace rlx::cpu {

// Writes the body of `function`, which has the signature of KernelFn and is empty. `kernel` is
// verified and legalized.
void EmitKernel(const kernel::Kernel& kernel, llvm::Function& function);

}  // namespace rlx::cpu
