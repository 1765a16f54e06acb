// SPDX-License-Identifier: Apache-2.0
// Properties of random graphs: checked on many, and shown on a small one when they fail.
#pragma once

#include <functional>

#include "tests/support/random_graph.h"

namespace rlx::test {

// Long runs: `--count=N` graphs for every property instead of what its test says, from `--seed=S`
// on. Set by main.
struct PropertyFlags {
  int count = 0;  // 0: the test's own
  uint64_t seed = 1;
};
PropertyFlags& Flags();

// Says what is wrong with a graph. Depends on the graph and the draws alone: it is called again and
// again with the same draws while a failing graph is shrunk.
using Property = std::function<::testing::AssertionResult(const Graph&, Rng&)>;

// Checks the property on `count` random graphs, under a sanitizer on half as many. The first that
// fails is shrunk and printed as text IR, with its seed.
void CheckRandomGraphs(int count, const RandomGraphOptions& options, const Property& property);
// The same on graphs from anywhere: `make(seed)`.
void CheckGraphs(int count, const std::function<Graph(uint64_t)>& make, const Property& property);

// How many graphs these take where `count` are asked for.
int GraphsOf(int count);

// A smaller graph for which `fails` still holds: fewer outputs, nodes replaced by fresh inputs or
// by what they read, nodes in bodies by what these read or are given or by constants, until no such
// step keeps it failing. `fails(graph)` holds on entry.
Graph Shrink(const Graph& graph, const std::function<bool(const Graph&)>& fails);

}  // namespace rlx::test
