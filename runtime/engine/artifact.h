// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/stages/stages.h"
#include "runtime/wire/artifact.h"

namespace rlx::engine {

// What the stages made, as caches keep it.
wire::Artifact ToArtifact(stages::CompileResult result, const device::Target& target);

// Back again, for Specialize. InvalidArgument when the options no longer resolve.
absl::StatusOr<stages::CompileResult> FromArtifact(const wire::Artifact& artifact,
                                                   const device::Backend* backend);

}  // namespace rlx::engine
