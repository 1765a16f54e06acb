// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <absl/status/statusor.h>

#include <string_view>

#include "runtime/kernel/kernel.h"

// The printed form (an example stands in kernel.h): Parse(Print(kernel)) is the kernel. Blank lines
// and what follows '#' are skipped. A kernel with a source is printed for people alone.
namespace rlx::kernel {

std::string Print(const Kernel& kernel);

// kInvalidArgument, naming the line, for what is not of the form; the kernel is not verified.
absl::StatusOr<Kernel> Parse(std::string_view text);

}  // namespace rlx::kernel
