// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "rlx/v1/options.pb.h"
#include "runtime/ir/options.h"

namespace rlx::wire {

// Form only: unknown enumeration values and empty wrappers are InvalidArgument naming the field;
// values are judged by stages::Resolve.
absl::StatusOr<CompileOptions> OptionsFromWire(const v1::CompileOptions& options);
void OptionsToWire(const CompileOptions& options, v1::CompileOptions& out);

}  // namespace rlx::wire
