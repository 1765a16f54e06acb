// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "runtime/base/cancel.h"
#include "runtime/device/program.h"
#include "runtime/ir/lir.h"
#include "runtime/kernel/kernel.h"

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

// The most that a plan's slots hold at any step: no arena for its schedule is smaller. Requires a
// plan that PlanBuffers made or VerifyPlan passed.
int64_t ArenaLowerBound(const Graph& graph, const BufferPlan& plan);

// A program without its code: what the back end is given to compile, and which node of the LIR each
// step belongs to.
struct ProgramDraft {
  device::Program program;  // `object` is empty
  std::vector<kernel::Kernel> kernels;
  std::vector<NodeId> step_nodes, weight_step_nodes;  // -1: of no one node
};
absl::StatusOr<ProgramDraft> DraftProgram(const LirModule& lir, const device::Backend& backend,
                                          const device::Target& target,
                                          const CancelToken& cancel = {});

// Judges a plan that arrived with its graph, which is verified: the schedule is a topological order
// of all nodes that run; every value has the place that its kind allows; views lie where their
// nodes put them, inside their roots, and their readers take their strides; slots are aligned,
// inside the arena, and no two that hold data at the same time overlap; the manifest is the
// graph's. What passes can be given to BuildProgram. InvalidArgument naming the node. O(n log n).
// `backend` as above.
absl::Status VerifyPlan(const Graph& graph, const BufferPlan& plan, const device::Backend* backend);

// LIR → Program: each node lowered by the back end, nodes that depend on weights and constants
// alone into the WeightProgram, kernels compiled once each. Requires a fully static plan.
// Unimplemented naming every node that the back end does not claim. Cancelled and DeadlineExceeded
// between nodes and while kernels are compiled.
absl::StatusOr<std::shared_ptr<const device::Program>> BuildProgram(const LirModule& lir,
                                                                    const device::Backend& backend,
                                                                    const device::Target& target,
                                                                    const CancelToken& cancel = {});
// The second half of it: the draft's kernels compiled.
absl::StatusOr<std::shared_ptr<const device::Program>> CompileDraft(ProgramDraft draft,
                                                                    const device::Backend& backend,
                                                                    const device::Target& target,
                                                                    const CancelToken& cancel = {});

}  // namespace rlx::lower
