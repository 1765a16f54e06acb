// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/stages/stages.h"

// Pieces of a compile that several files of this room share.
namespace rlx::stages {

// Gives each node that has none a source: its number and name in the module as it arrived; nodes of
// bodies are numbered behind the others (AllNodes), and named by their place.
void StampSources(Graph& graph);

// Counts nodes and ops, those in bodies of control flow too, into `report`: what enters the passes,
// and what leaves them. Before: returns how many nodes but leaves there are per OpInfo.claim. One
// sweep each: the nodes of a large graph are slow to fetch.
std::map<std::string, int64_t> CountBefore(const Graph& graph, FusionReport& report);
void CountAfter(const Graph& graph, FusionReport& report);

// Drops the misses that nobody can act on.
void DropIdleMisses(FusionReport& report);

// How each op kind came to run in `after`: `before` as CountBefore counted, and what rewrites put
// in the places of nodes (PassContext::became). Asks the back end about each node with constant
// extents, and the claims about the rest, which the report says. `as_given`: no pass will run when
// symbols are bound (CompileResult::as_given).
DispatchReport ReportDispatch(const std::map<std::string, int64_t>& before, const Graph& after,
                              const passes::Replacements& became, const ResolvedOptions& options,
                              const device::Backend* backend, const device::Target& target,
                              bool as_given);

// Whether a graph with symbols runs at all of their sizes, at some, or at none: tried at the ends
// of their ranges, by what binding would do. Where a size is refused, `result.dispatch` is not
// ready and says from which on (or, of several symbols, at which). Cancelled and DeadlineExceeded
// alone are errors.
absl::Status JudgeSizes(const Graph& graph, const device::Backend* backend,
                        const device::Target& target, const CancelToken& cancel,
                        CompileResult& result);

// Why the result cannot run: the back end, every kind that it does not run with the number of such
// nodes, and the first of them with the reason. `back end cpu cannot run 2 kinds: Conv ×3 (%4
// (conv): conv of f64), Scan ×1 (%9 (scan): no rule)`.
std::string Illegal(const DispatchReport& report);

// What the passes may know under these options. The context refers to its arguments.
passes::PassContext ContextFor(const ResolvedOptions& options, const device::Backend* backend,
                               const device::Target& target, std::vector<Remark>& remarks);

// Why no program can be made of the result; empty when one can.
std::string WhyNoProgram(const CompileResult& result, const device::Backend* backend);

// Fills program, or why_no_program, from the LIR and the dispatch report.
absl::Status GenerateCode(CompileResult& result, const device::Backend* backend,
                          const device::Target& target, const CancelToken& cancel);

}  // namespace rlx::stages
