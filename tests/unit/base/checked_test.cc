// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/checked.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

namespace rlx {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();

TEST(Checked, AddSubMul) {
  EXPECT_EQ(CheckedAdd<int64_t>(kMax - 1, 1), kMax);
  EXPECT_EQ(CheckedAdd<int64_t>(kMax, 1), std::nullopt);
  EXPECT_EQ(CheckedSub<int64_t>(kMin, 1), std::nullopt);
  EXPECT_EQ(CheckedSub<size_t>(0, 1), std::nullopt);
  EXPECT_EQ(CheckedMul<int64_t>(int64_t{1} << 31, int64_t{1} << 31), int64_t{1} << 62);
  EXPECT_EQ(CheckedMul<int64_t>(int64_t{1} << 32, int64_t{1} << 31), std::nullopt);
  EXPECT_EQ(CheckedMul<int64_t>(kMin, -1), std::nullopt);
  static_assert(CheckedMul<size_t>(6, 7) == 42u);
}

TEST(Checked, Product) {
  EXPECT_EQ(CheckedProduct(std::vector<int64_t>{}), 1);
  EXPECT_EQ(CheckedProduct(std::vector<int64_t>{2, 3, 4}), 24);
  EXPECT_EQ(CheckedProduct(std::vector<int64_t>{kMax, 2, 0}), std::nullopt);
  EXPECT_EQ(CheckedProduct(std::vector<int64_t>{0, kMax, 2}), 0);
}

TEST(Checked, Cast) {
  EXPECT_EQ(CheckedCast<size_t>(int64_t{-1}), std::nullopt);
  EXPECT_EQ(CheckedCast<int32_t>(int64_t{1} << 31), std::nullopt);
  EXPECT_EQ(CheckedCast<int64_t>(std::numeric_limits<uint64_t>::max()), std::nullopt);
  EXPECT_EQ(CheckedCast<uint8_t>(255), 255);
}

TEST(Checked, AlignUp) {
  EXPECT_EQ(CheckedAlignUp<int64_t>(0, 64), 0);
  EXPECT_EQ(CheckedAlignUp<int64_t>(65, 64), 128);
  EXPECT_EQ(CheckedAlignUp<int64_t>(128, 64), 128);
  EXPECT_EQ(CheckedAlignUp<int64_t>(kMax - 1, 64), std::nullopt);
}

}  // namespace
}  // namespace rlx
