// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace rlx {
class Graph;
}

namespace rlx::passes {

class Counts;  // counts.h

// What a mixed-precision policy decides about, the heaviest first: a composite belongs to the
// heaviest class inside it. Products and attention compute; sums, norms and softmax reduce.
// Boundary is what stands apart: transforms. What the module declares (inputs, params, outputs)
// keeps its types under every policy.
enum class PrecisionClass : uint8_t {
  kCompute,
  kReduction,
  kElementwise,
  kDataMovement,
  kBoundary
};

// The names that a custom policy uses, in the order above.
std::span<const std::string_view> PrecisionClassNames();

// By node: what is computed in f32 under every policy, since it decides (a comparison, an index)
// or since it reads a count or an angle, or that leads up, number by number, to what does or to one
// of the first `kept` outputs.
std::vector<bool> ComputedInFull(const Graph& graph, size_t kept, const Counts& counts);

}  // namespace rlx::passes
