// SPDX-License-Identifier: Apache-2.0
#include "runtime/tensor/shape.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/status.h"

namespace rlx {
namespace {

using ::testing::HasSubstr;

const Dim s = Dim::Symbol("s"), t = Dim::Symbol("t");

TEST(TensorType, PrintsAndCounts) {
  const TensorType type = {DType::kF32, {4, 15, 384}};
  EXPECT_EQ(ToString(type), "f32[4,15,384]");
  EXPECT_EQ(type.NumElements(), 4 * 15 * 384);
  EXPECT_EQ(type.ByteSize(), 4 * 4 * 15 * 384);
  EXPECT_EQ(ToString(TensorType{DType::kI64, {}}), "i64[]");
  EXPECT_EQ(ToString(TensorType{DType::kF16, {s, 2 * t}}), "f16[s,(2 * t)]");
}

TEST(TensorType, HasNoSizeWhenSymbolicOrOverflowing) {
  EXPECT_FALSE((TensorType{DType::kF32, {s}}).NumElements());
  EXPECT_FALSE((TensorType{DType::kF32, {int64_t{1} << 40, int64_t{1} << 40}}).NumElements());
  const TensorType elements_fit = {DType::kF32, {int64_t{1} << 62}};
  EXPECT_TRUE(elements_fit.NumElements());
  EXPECT_FALSE(elements_fit.ByteSize());
  EXPECT_FALSE((TensorType{DType::kF32, {Dim::Overflow()}}).is_static());
}

TEST(Broadcast, AlignsRightAndStretchesOnes) {
  std::vector<DimConstraint> constraints;
  EXPECT_EQ(*Broadcast({8, 1, 5}, {3, 1}, constraints), (Shape{8, 3, 5}));
  EXPECT_EQ(*Broadcast({}, {2, s}, constraints), (Shape{2, s}));
  EXPECT_EQ(*Broadcast({1, s}, {t, 1}, constraints), (Shape{t, s}));
  EXPECT_TRUE(constraints.empty());
}

TEST(Broadcast, RecordsWhatItAssumes) {
  std::vector<DimConstraint> constraints;
  EXPECT_EQ(*Broadcast({s}, {8}, constraints), (Shape{8}));
  EXPECT_EQ(*Broadcast({s}, {t}, constraints), (Shape{s}));
  EXPECT_EQ(constraints, (std::vector<DimConstraint>{{s, 8}, {s, t}}));
}

TEST(Broadcast, RefusesWhatCannotBeEqual) {
  std::vector<DimConstraint> constraints;
  EXPECT_THAT(Message(Broadcast({2, 3}, {4}, constraints).status()), HasSubstr("3 vs 4"));
  EXPECT_FALSE(Broadcast({s}, {s + 1}, constraints).ok());
  EXPECT_FALSE(Broadcast({Dim::Overflow()}, {2}, constraints).ok());
  EXPECT_TRUE(constraints.empty());
}

TEST(Broadcast, BroadcastsToNeverStretchesTheTarget) {
  EXPECT_TRUE(BroadcastsTo({1, 5}, {8, 3, 5}));
  EXPECT_TRUE(BroadcastsTo({}, {s}));
  EXPECT_FALSE(BroadcastsTo({3}, {1}));
  EXPECT_FALSE(BroadcastsTo({1, 1}, {1}));
}

TEST(Constraints, AreCheckedUnderABinding) {
  const std::vector<DimConstraint> constraints = {{s, t}, {Max(s, 4), s}};
  EXPECT_TRUE(CheckConstraints(constraints, {{"s", 5}, {"t", 5}}).ok());
  EXPECT_THAT(Message(CheckConstraints(constraints, {{"s", 5}, {"t", 6}})),
              HasSubstr("violates s = t (5 vs 6)"));
  EXPECT_FALSE(CheckConstraints(constraints, {{"s", 3}, {"t", 3}}).ok());
  EXPECT_THAT(Message(CheckConstraints(constraints, {{"s", 5}})), HasSubstr("open"));
}

TEST(Strides, AreRowMajor) {
  EXPECT_EQ(RowMajorStrides({2, 3, 4}), (std::vector<int64_t>{12, 4, 1}));
  EXPECT_TRUE(RowMajorStrides({}).empty());
}

}  // namespace
}  // namespace rlx
