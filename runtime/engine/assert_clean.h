// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/ir/options.h"
#include "runtime/stages/stages.h"

namespace rlx::engine {

// What every answer made under assert_fusion_clean goes through, in the caller's own names: where
// somebody could act on a miss, FailedPrecondition, and the report in `misses` (which may be null).
inline absl::Status CheckClean(const CompileOptions& options, const FusionReport& report,
                               FusionReport* misses) {
  if (!options.assert_fusion_clean.value_or(false) || report.clean()) return absl::OkStatus();
  if (misses != nullptr) *misses = report;
  return stages::RequireClean(report);
}

}  // namespace rlx::engine
