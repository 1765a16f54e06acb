// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace rlx::passes {

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

}  // namespace rlx::passes
