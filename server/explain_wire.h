// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rlx/v1/compiler.pb.h"
#include "runtime/engine/explain.h"

namespace rlx::server {

// `module` is the one that was explained. Fills what `request` asks for.
void ExplainedToWire(const engine::Explained& explained, const Module& module,
                     const v1::ExplainRequest& request, v1::ExplainResponse& out);
void KernelSourceToWire(const engine::KernelSource& source, v1::KernelSource& out);

}  // namespace rlx::server
