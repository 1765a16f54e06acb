// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/engine/compile_pool.h"
#include "runtime/engine/key.h"
#include "runtime/engine/operations.h"

namespace rlx::engine {

// What a compile may touch besides its job.
struct CompileEnvironment {
  ArtifactCache& artifacts;
  CompilePool& pool;  // on a thread of which it runs
  const Limits& limits;
  bool look_up = true;  // someone may have finished the same since the caller looked
  bool keep = true;     // in the caches
};

// One compile, on a thread of the pool: the stages over the canonical module, every remark kept.
absl::StatusOr<FlightResult> RunCompile(const Job& job, const CompileEnvironment& environment,
                                        const CancelToken& cancel, ProgressHub& progress);

// The same for a compiled module with its symbols bound.
absl::StatusOr<FlightResult> RunSpecialise(const CompiledModule& module, const Digest256& key,
                                           const Specialisation& at, const Targets::Choice& choice,
                                           const CompileEnvironment& environment,
                                           const CancelToken& cancel, ProgressHub& progress);

// Without code and without caches, on the caller's own module; stops at `stage`, which does not
// come before the module's. assert_fusion_clean holds at every stage; `misses` as in CompileCall.
absl::StatusOr<Lowered> RunLower(const CompileSpec& spec, const CompileOptions& options,
                                 const Targets::Choice& choice, const Limits& limits, Stage stage,
                                 const CancelToken& cancel, FusionReport* misses);

}  // namespace rlx::engine
