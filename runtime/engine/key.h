// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/engine/canonical.h"
#include "runtime/engine/targets.h"
#include "runtime/stages/stages.h"

namespace rlx::engine {

// A request, understood: verified, reduced to canonical form, target and options decided, and the
// key of what it asks for.
struct Job {
  Canonical canonical;
  DeviceKind device = DeviceKind::kCpu;
  Targets::Choice choice;
  CompileOptions request;           // with the engine's defaults
  stages::ResolvedOptions options;  // of it
  KeyExplanation key;
};

// InvalidArgument or ResourceExhausted for a bad module or option, NotFound for an unknown profile.
absl::StatusOr<Job> Understand(const CompileSpec& spec, const EngineOptions& engine,
                               const Targets& targets);

// The key of one specialisation of a compiled module: the same build and options, symbols bound.
Digest256 SpecialisedKey(const Digest256& key, const Specialisation& at);

}  // namespace rlx::engine
