// SPDX-License-Identifier: Apache-2.0
// Flags that say what to compile, how, and for what: of every command that takes a MODULE.
#pragma once

#include "clients/rlxctl/flags.h"
#include "rlx/v1/compiler.pb.h"

namespace rlx::ctl {

struct Context;

extern const std::span<const FlagSpec> kCompileFlags;

// The options as given: what no flag names stays absent. A usage error for a bad value.
absl::StatusOr<v1::CompileOptions> OptionsFrom(const Flags& flags);

// The module of that file with the target and options of the flags; a module too large for a
// message is uploaded first. `target` wins over --target unless it is empty.
absl::StatusOr<v1::CompileSpec> MakeSpec(std::string_view module_path, Context& context,
                                         std::string_view target = "");

}  // namespace rlx::ctl
