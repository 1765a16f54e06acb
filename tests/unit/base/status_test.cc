// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"

#include <gtest/gtest.h>

#include <memory>

#include <absl/strings/cord.h>

namespace rlx {
namespace {

absl::StatusOr<int> Half(int value) {
  if (value % 2 != 0) return InvalidArgument("half: ", value, " is odd");
  return value / 2;
}

absl::StatusOr<std::unique_ptr<int>> Quarter(int value) {
  RLX_ASSIGN(int half, Half(value));
  RLX_ASSIGN(half, Half(half));
  return std::make_unique<int>(half);
}

absl::Status CheckEven(int value) {
  RLX_TRY(Half(value).status());
  return absl::OkStatus();
}

TEST(Status, FactoriesSetCodeAndText) {
  absl::Status status = FailedPrecondition("%", 17, " matmul: k differs (", 64, " vs ", 32, ")");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Message(status), "%17 matmul: k differs (64 vs 32)");
  EXPECT_EQ(Cancelled("").code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(DeadlineExceeded("").code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(NotFound("").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(AlreadyExists("").code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(PermissionDenied("").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ResourceExhausted("").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Aborted("").code(), absl::StatusCode::kAborted);
  EXPECT_EQ(OutOfRange("").code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(Unimplemented("").code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(Internal("").code(), absl::StatusCode::kInternal);
  EXPECT_EQ(Unavailable("").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(DataLoss("").code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Unauthenticated("").code(), absl::StatusCode::kUnauthenticated);
}

TEST(Status, AssignGivesTheValueOrReturnsTheStatus) {
  absl::StatusOr<std::unique_ptr<int>> good = Quarter(12);
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(**good, 3);
  EXPECT_EQ(Message(Quarter(6).status()), "half: 3 is odd");
}

TEST(Status, TryReturnsTheFirstFailure) {
  EXPECT_TRUE(CheckEven(2).ok());
  EXPECT_EQ(Message(CheckEven(5)), "half: 5 is odd");
}

TEST(Status, AnnotateKeepsCodeAndPayloads) {
  absl::Status status = NotFound("no blob");
  status.SetPayload("type/x", absl::Cord("payload"));
  absl::Status annotated = Annotate(status, "weight ", 3);
  EXPECT_EQ(annotated.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Message(annotated), "weight 3: no blob");
  ASSERT_TRUE(annotated.GetPayload("type/x").has_value());
  EXPECT_EQ(*annotated.GetPayload("type/x"), "payload");
  EXPECT_TRUE(Annotate(absl::OkStatus(), "context").ok());
}

}  // namespace
}  // namespace rlx
