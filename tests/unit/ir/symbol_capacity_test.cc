// SPDX-License-Identifier: Apache-2.0
// How Verify counts the bytes of values whose extents are symbols.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/text.h"
#include "runtime/ir/text.h"
#include "runtime/ir/verify.h"

namespace rlx {
namespace {

absl::Status VerifyInput(std::string_view symbols, std::string_view type) {
  absl::StatusOr<Module> module = ParseModule(
      Cat("mir \"m\" {\n", symbols, "%0 = input \"x\" : ", type, "\noutput \"y\" = %0\n}"));
  if (!module.ok()) return module.status();
  return Verify(*module);
}

TEST(SymbolCapacity, SymbolsWithoutCapacityCountByTheirLeast) {
  EXPECT_TRUE(VerifyInput("", "f32[batch,seq,384]").ok());
  EXPECT_TRUE(VerifyInput("symbol n in [2, 2147483648]\n", "f32[n,n,384]").ok());
}

TEST(SymbolCapacity, CapacityIsHeldAgainstTheLimit) {
  EXPECT_TRUE(VerifyInput("symbol n in [1, 1000]\n", "f32[n,n,384]").ok());
  const absl::Status status = VerifyInput("symbol n in [1, 1000000]\n", "f32[n,n,384]");
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("%0 input \"x\""));
}

}  // namespace
}  // namespace rlx
