// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "runtime/ir/graph.h"

namespace rlx::device {

// What one kernel of a region may hold. Compilers take time and memory that grow faster than the
// kernel (register allocation above all); within these bounds LLVM's is in proportion
// (docs/performance.md).
struct PieceLimits {
  int64_t work = 1024;   // kernel instructions, functions counted as what they expand to
  int64_t buffers = 96;  // read, and as many written
};

// A kernel's share of a region's body: its nodes in order (no inputs, no constants), the values it
// reads from memory (inputs of the body and results of earlier pieces) and those it leaves there
// for later pieces or as the body's results.
struct RegionPiece {
  std::vector<NodeId> nodes;
  std::vector<Value> reads;
  std::vector<Value> writes;
};

// Cuts a body where few values are alive, having put its nodes in an order that keeps few alive.
// One piece when all fits into one. Nodes that no result needs are left out. `wanted` are the
// results to compute. Takes n log n.
std::vector<RegionPiece> SplitRegion(const Graph& body, const std::vector<Value>& wanted,
                                     const PieceLimits& limits = {});

}  // namespace rlx::device
