// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "clients/rlxctl/flags.h"
#include "rlx/v1/compiler.pb.h"

namespace rlx::ctl {

struct Context;

// What is left of CompileRequest beside the spec.
extern const std::span<const FlagSpec> kCacheUseFlags;

// Compiles, showing progress, or takes it from the server's cache.
absl::StatusOr<v1::CompileResult> Compile(v1::CompileSpec spec, Context& context);

// "compiled in 35.1 ms".
std::string OriginText(const v1::CompileResult& result);

}  // namespace rlx::ctl
