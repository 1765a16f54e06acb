// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "runtime/stages/stages.h"

namespace rlx::stages {

// Every pass there is, in order.
std::span<const passes::Pass> AllPasses();

// Why a pass stays out under these options; empty when it runs.
std::string WhySkipped(const passes::Pass& pass, const ResolvedOptions& options);

// The kinds of ops that no claim covers and that fusions of this pipeline may take along.
passes::OpSet Awaited(const ResolvedOptions& options);

// What a graph is verified against from the first pass on: passes may grow a module beyond what a
// client may send; the verifier's other rules stay.
Limits GrownLimits();

// Runs the pipeline, on bodies of control flow too: each pass timed, verified and dumped. Internal,
// naming the pass, when one fails or leaves a graph that does not verify; Cancelled and
// DeadlineExceeded by the context's token, between passes and in the long ones.
absl::Status RunPasses(Graph& graph, const ResolvedOptions& options, passes::PassContext& context,
                       const StageObserver& observer, std::vector<PassTiming>& timings);

// The same for the bodies of the control flow that stays: RunPasses ends with it. What a loop
// carries is computed in full there (PassContext::kept_outputs). The observer hears
// after_pass_in_body alone.
absl::Status RunNestedPasses(Graph& graph, const ResolvedOptions& options,
                             passes::PassContext& context, const StageObserver& observer,
                             std::vector<PassTiming>& timings);

}  // namespace rlx::stages
