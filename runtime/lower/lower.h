// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "runtime/device/program.h"
#include "runtime/ir/lir.h"

namespace rlx::device {
class Backend;
}

namespace rlx::lower {

struct PlanOptions {
  int64_t alignment = 64;  // bytes, power of two
};

// Schedules an optimized MIR graph and plans its arena: live ranges, slots by first fit on size,
// views (reshape, same-dtype cast, narrow; strided where every reader accepts it, which only a back
// end can say), values that depend on weights alone, phases, the I/O manifest. `backend` may be
// null: then dense views only. Symbolic values get no slot and their symbols are listed.
absl::StatusOr<BufferPlan> PlanBuffers(const Graph& graph, const PlanOptions& options,
                                       const device::Backend* backend);

// LIR → Program: each node lowered by the back end, nodes that depend on weights and constants
// alone into the WeightProgram, kernels compiled once each. Requires a fully static plan.
// Unimplemented naming every node that the back end does not claim.
absl::StatusOr<std::shared_ptr<const device::Program>> BuildProgram(const LirModule& lir,
                                                                    const device::Backend& backend,
                                                                    const device::Target& target);

}  // namespace rlx::lower
