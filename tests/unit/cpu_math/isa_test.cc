// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/isa.h"

#include <gtest/gtest.h>

#include "backends/cpu/math/kernels.h"

namespace rlx::cpu {
namespace {

TEST(Isa, NamesRoundTrip) {
  for (Isa isa : {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512}) {
    EXPECT_EQ(ParseIsa(IsaName(isa)), isa);
    EXPECT_EQ(MathFor(isa).isa, isa);
  }
  EXPECT_EQ(ParseIsa("sse9"), std::nullopt);
}

TEST(Isa, DetectionIsSteady) { EXPECT_EQ(DetectIsa(), DetectIsa()); }

}  // namespace
}  // namespace rlx::cpu
