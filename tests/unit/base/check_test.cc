// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/check.h"

#include <gtest/gtest.h>

namespace rlx {
namespace {

TEST(Check, PassesInSilence) {
  int evaluated = 0;
  CHECK(++evaluated == 1);
  CHECK(true, "never built ", evaluated);
  EXPECT_EQ(evaluated, 1);
}

TEST(CheckDeathTest, NamesConditionPlaceAndDetail) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(CHECK(1 > 2, "slot ", 7),
               "^tests/unit/base/check_test.cc:[0-9]+: check failed: 1 > 2: slot 7");
  EXPECT_DEATH(CHECK(1 > 3), "check failed: 1 > 3\n");
}

}  // namespace
}  // namespace rlx
