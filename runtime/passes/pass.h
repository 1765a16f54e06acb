// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/ir/options.h"
#include "runtime/ir/report.h"

namespace rlx::passes {

// What a pass may know besides the graph. Passes add remarks; the runner does timing, kill switches,
// verification and dumps.
struct PassContext {
  FusionTarget target = FusionTarget::kCpu;
  FusionLimits limits;
  // Claim names the target accepts; empty accepts everything.
  std::set<std::string> claims;
  std::vector<Remark>* remarks = nullptr;

  bool Accepts(std::string_view claim) const {
    return claims.empty() || claims.count(std::string(claim)) > 0;
  }
};

// MIR → MIR, in place. Returns kInternal only for our own bugs: what does not match stays as it is.
using PassFn = absl::Status (*)(Graph&, PassContext&);

// One line of a pipeline. Names are unique: they key timings, kill switches and dumps.
struct Pass {
  std::string_view name;
  PassFn run = nullptr;
  std::string_view gate = {};   // claim that the target must accept; empty: always
  bool fusion = false;          // left out by skip_fusion
};

}  // namespace rlx::passes
