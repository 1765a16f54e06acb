// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <absl/status/statusor.h>

#include <span>

#include "runtime/kernel/kernel.h"

// Passes that take from a kernel what a target cannot say. Each takes a verified kernel and gives a
// verified one; walkers name the properties they rely on and have them checked by Require.
namespace rlx::kernel {

enum class Property : uint8_t {
  kNoMath32,    // no exp, exp2, log, sin, cos, tan, atan, tanh, erf, pow on f32
  kNoRounding,  // no floor, ceil, round
  kNoF16Casts,  // no cast to or from f16
  kNoBF16Casts,
  kNoFp8Casts,
  kNoReductions,  // no reduce_* over the group
};

// kInternal, naming the first instruction that breaks one of `properties`.
absl::Status Require(const Kernel& kernel, std::span<const Property> properties);

// Functions of f32 become arithmetic: polynomials after a reduction of the range, within 4 units in
// the last place (tests/unit/cpu/codegen/math_test.cc states each) and right at infinities, zeros
// and NaN. pow computes in f64 inside; sin, cos and tan do so in their reduction and call the f64
// function for |x| >= 2^27. Gives kNoMath32.
absl::StatusOr<Kernel> ExpandMath32(const Kernel& kernel);

// floor, ceil and round of f32 and f64 become additions of a large number. Gives kNoRounding.
absl::StatusOr<Kernel> ExpandRounding(const Kernel& kernel);

// reduce_* become exchanges by shared memory and, within a subgroup, by shuffle_xor; to the bit the
// same. Gives kNoReductions.
absl::StatusOr<Kernel> ExpandReductions(const Kernel& kernel);

// Index arithmetic of i64 becomes i32 where it cannot leave that in a launch of `groups` workgroups
// with these scalars. Other launches of the result may overflow.
absl::StatusOr<Kernel> NarrowIndices(const Kernel& kernel, int64_t groups,
                                     std::span<const int64_t> scalars);

// Casts to and from f16, bf16 or the 8-bit floats become integer operations on their bits. From f64
// they round once. Gives kNoF16Casts, kNoBF16Casts, kNoFp8Casts.
absl::StatusOr<Kernel> ExpandF16(const Kernel& kernel);
absl::StatusOr<Kernel> ExpandBF16(const Kernel& kernel);
absl::StatusOr<Kernel> ExpandFp8(const Kernel& kernel);

}  // namespace rlx::kernel
