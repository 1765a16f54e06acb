// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "runtime/ir/lir.h"

namespace rlx::passes {

// A graph that computes at one capacity what a symbolic graph computes at any smaller size.
struct PaddedGraph {
  Graph graph;  // static; the symbolic graph's inputs and params, then the input of extents
  ExtentsInput extents;
};

// The graph with its symbols at `capacity`, which names every symbol, and with whatever mixes
// places of a padded axis (a product along it, a reduction, softmax, attention over keys) made to
// leave out the places beyond the true extent. Runs with inputs whose true part is in their first
// places give outputs whose true part is in their first places, and equal to what the symbolic
// graph gives at the true sizes; what fills the rest, on the way in and on the way out, is of no
// consequence. A size is admissible when it is within the symbols' ranges, at most `capacity`, and
// keeps the graph's constraints.
//
// FailedPrecondition, naming the node, where that cannot be had: an op that has no rule here and
// does not decompose, a reshape that tears a padded axis, a norm along one. InvalidArgument where
// the capacity itself breaks a range or a constraint.
absl::StatusOr<PaddedGraph> PadToCapacity(const Graph& symbolic, const DimBinding& capacity);

}  // namespace rlx::passes
