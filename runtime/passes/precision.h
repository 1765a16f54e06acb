// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace rlx::passes {

// What a mixed-precision policy decides about, the heaviest first: a composite belongs to the
// heaviest class inside it. Products and attention compute; sums, norms and softmax reduce.
// Boundary is what the module itself declares (inputs, params, outputs) or computes by nested
// graphs: those keep their types under every policy.
enum class PrecisionClass : uint8_t {
  kCompute,
  kReduction,
  kElementwise,
  kDataMovement,
  kBoundary
};

// The names that a custom policy uses, in the order above.
std::span<const std::string_view> PrecisionClassNames();
// The one of them that is in f32 always.
inline constexpr std::string_view kBoundaryClass = "boundary";

}  // namespace rlx::passes
