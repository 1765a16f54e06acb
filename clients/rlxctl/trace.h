// SPDX-License-Identifier: Apache-2.0
// Where time went, in the JSON that Perfetto (ui.perfetto.dev) and chrome://tracing open.
#pragma once

#include <string>
#include <string_view>

#include "runtime/base/status.h"

namespace rlx::v1 {
class CompileResult;
class RunTiming;
}  // namespace rlx::v1

namespace rlx::ctl {

// The phases of this request; of a compile that it started, also passes and kernels.
std::string CompileTrace(const v1::CompileResult& result);
// Waiting and computing, and each step of one run that was asked for them.
std::string RunTrace(const v1::RunTiming& timing, double round_trip_seconds);

absl::Status WriteTrace(const std::string& trace, std::string_view path);

}  // namespace rlx::ctl
