// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/device/backend.h"
#include "runtime/ir/verify.h"
#include "runtime/stages/stages.h"

namespace rlx::fuzz {

// Small enough that no input takes long, and every limit is met.
extern const Limits kLimits;

// The CPU's back end with text in the place of machine code, for which LLVM takes a thousand times
// longer.
const device::Backend& DryBackend();

// A compile with it, for its first target.
absl::StatusOr<stages::CompileResult> CompileDry(const Module& module,
                                                 const CompileOptions& options = {});

// What must hold for a module that Verify accepts: it stays the same through text and wire, every
// device's pipeline takes it or says why not (never with an internal error), and what comes out is
// sound. `choice` picks the device.
void CheckAccepted(const Module& module, uint64_t choice);

}  // namespace rlx::fuzz
