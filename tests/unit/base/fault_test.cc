// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/fault.h"

#include <gtest/gtest.h>

namespace rlx {
namespace {

TEST(Fault, AStatusCarriesWhatItIsAbout) {
  const absl::Status status =
      Annotate(AtNode(WithReason(InvalidArgument("no"), "unknown_op"), 7, "dense \"é\""), "module");
  const Fault fault = FaultOf(status);
  EXPECT_EQ(fault.reason, "unknown_op");
  EXPECT_EQ(fault.node, 7u);
  EXPECT_EQ(fault.node_name, "dense \"é\"");
  EXPECT_EQ(fault.field, "");
  EXPECT_EQ(fault.limit, "");
  EXPECT_EQ(Message(status), "module: no");
}

TEST(Fault, FieldsNestAndNameThemselves) {
  const absl::Status status = InField(InvalidField("dims[1]", -3, " is below 1"), "weights[2]");
  EXPECT_EQ(FaultOf(status).field, "weights[2].dims[1]");
  EXPECT_EQ(Message(status), "dims[1]: -3 is below 1");
}

TEST(Fault, LimitsCarryTheirValue) {
  const Fault fault = FaultOf(LimitExceeded("max_nodes", 64, "65 nodes"));
  EXPECT_EQ(fault.limit, "max_nodes");
  EXPECT_EQ(fault.limit_value, 64u);
  EXPECT_FALSE(fault.node.has_value());
}

TEST(Fault, OkStaysOk) {
  EXPECT_TRUE(InField(AtNode(WithReason(absl::OkStatus(), "r"), 1, "n"), "f").ok());
  EXPECT_EQ(FaultOf(absl::OkStatus()).reason, "");
}

}  // namespace
}  // namespace rlx
