// SPDX-License-Identifier: Apache-2.0
// Random MIR graphs for property tests: every pass keeps their meaning, every back end computes it.
#pragma once

#include <gtest/gtest.h>

#include "runtime/base/status.h"
#include "runtime/ir/evaluate.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/text.h"

namespace rlx::test {

struct RandomGraphOptions {
  int steps = 16;  // ops, or idioms of several ops
  DType dtype = DType::kF32;
  bool idioms = true;     // what passes look for: linear + activation, residual + norm, swiglu …
  bool symbolic = false;  // extents over `batch` and `seq`
  bool control_flow = true;
  bool composites = true;  // attention, regions: ops that decompose
  bool casts = true;       // to f64 and back
  bool integers = true;    // of every width, and booleans: exact whatever is done to them
  bool aliases = true;     // inputs whose buffer an output may take
  bool table = false;      // any op of the table by its sample, whose numbers may be large
  bool exported = false;   // half of the steps are ops as exporters write them out
  bool codes = false;      // steps of quantize and dequantize nodes more often
  bool smooth = false;     // no op whose result jumps, as rounding does: for changes of precision
  bool loops = false;      // a step in four is control flow whose bodies are drawn too, nested
};

// A verified graph with several consumers a value, dead nodes, and outputs on intermediate values.
// Values stay within a few units, and discontinuous ops (comparison, rounding, top-k) look at
// inputs alone, so that rounding errors stay small. Inputs and params are meant for RandomInputs
// (tests/support/same_results.h). The same seed gives the same graph.
Graph RandomGraph(uint64_t seed, const RandomGraphOptions& options = {});

// A value in range for every symbol.
DimBinding RandomBinding(const Graph& graph, Rng& rng);

// Calls fn(graph, rng) for `count` random graphs; a failure prints seed and graph.
template <class Fn>
void ForEachRandomGraph(int count, const RandomGraphOptions& options, Fn&& fn) {
  for (uint64_t seed = 1; seed <= static_cast<uint64_t>(count); ++seed) {
    const Graph graph = RandomGraph(seed, options);
    SCOPED_TRACE(Cat("seed ", seed, "\n", Print(graph, {.full_constants = false})));
    Rng rng(seed);
    fn(graph, rng);
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace rlx::test
