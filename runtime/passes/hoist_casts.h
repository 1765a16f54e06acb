// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "runtime/ir/graph.h"

namespace rlx::passes {

//   w ── scan { cast(w, f16) .. }   =>   cast(w, f16) ── scan { w .. }
//
// for each f32 that control flow captures and that its bodies read in one narrower float type
// alone: it is cast once before, with the weights if it is one, and not in each turn. Carries and
// sequences stay as they are: what the node takes and gives is its author's. No pass of the
// pipeline: the casts come up when the passes have been through the bodies, after all of them have
// been through the graph around (stages/run_nested.cc). Whether it changed the graph, which it
// renumbers.
absl::StatusOr<bool> HoistCasts(Graph& graph);

}  // namespace rlx::passes
