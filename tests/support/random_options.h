// SPDX-License-Identifier: Apache-2.0
// Random compile options for property tests.
#pragma once

#include "runtime/ir/op_info.h"
#include "runtime/ir/options.h"

namespace rlx::test {

// A random part of the claims of MIR ops, each taken with `chance` in four.
std::set<std::string> RandomClaims(Rng& rng, uint64_t chance);

// Switches that leave ops what they are, so that what runs still runs: what may be fused, and how
// far, what is folded or dropped, how the arena is laid out.
CompileOptions RandomSwitches(Rng& rng);
// These, which ops are taken apart, and which passes run at all: still the same numbers, but for
// the order of roundings.
CompileOptions RandomOptions(Rng& rng);
// Adds in what classes of ops compute: a policy of any kind or a precision.
void DrawPrecision(Rng& rng, CompileOptions& options);
// Binds each symbol of the graph with a chance of `chance` in four.
void DrawBinding(const Graph& graph, Rng& rng, uint64_t chance, CompileOptions& options);

}  // namespace rlx::test
