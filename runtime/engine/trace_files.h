// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "runtime/base/sha256.h"

// Traces that compiles and runs leave in EngineOptions::trace_dir, for ui.perfetto.dev. A file that
// cannot be written costs nobody a compile or a run.
namespace rlx::engine {

struct Compiled;
struct RunTiming;
struct TracedStep;

// `KEY.compile.json`: the phases of the request that compiled it, its passes and kernels.
void WriteCompileTrace(const std::string& folder, const Compiled& compiled);

// `KEY.run.json`, in the place of the run before: waiting, computing, and every step.
void WriteRunTrace(const std::string& folder, const Digest256& key, const RunTiming& timing,
                   const std::vector<TracedStep>& steps);

}  // namespace rlx::engine
