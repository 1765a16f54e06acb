// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/passes/pass_test.h"

namespace rlx::passes {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ChannelsLast, TransposesAtTheBordersAlone) {
  ExpectRewrite(ChannelsLast, R"(mir "m" {
    %0 = input "x" : f32[2,3,8,8]
    %1 = param "w" : f32[4,3,3,3]
    %2 = param "b" : f32[4]
    %3 = param "v" : f32[4,4,1,1]
    %4 = conv(%0, %1, %2) {strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1]}
    %5 = relu(%4)
    %6 = conv(%5, %3) {strides = [2, 2], pads = [0, 0, 0, 0], dilations = [1, 1]}
    output "y" = %6
  })",
                R"(mir "m" {
    %0 = input "x" : f32[2,3,8,8]
    %1 = param "w" : f32[4,3,3,3]
    %2 = param "b" : f32[4]
    %3 = param "v" : f32[4,4,1,1]
    %4 = transpose(%0) {perm = [0, 2, 3, 1]}
    %5 = fused_conv_bias_act(%4, %1, %2) {strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], has_bias = true}
    %6 = relu(%5)
    %7 = fused_conv_bias_act(%6, %3) {strides = [2, 2], pads = [0, 0, 0, 0], dilations = [1, 1]}
    %8 = transpose(%7) {perm = [0, 3, 1, 2]}
    output "y" = %8
  })");
}

// Squeeze and excitation, a bias a channel, a pool and a sum: all of it in rows.
TEST(ChannelsLast, CarriesOnThroughWhatWorksOnRows) {
  const Outcome outcome = RunPass(ChannelsLast, R"(mir "m" {
    symbol batch in [1, 8]
    %0 = input "x" : f32[batch,3,8,8]
    %1 = param "w" : f32[4,3,3,3]
    %2 = param "scale" : f32[4,1,1]
    %3 = conv(%0, %1) {strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1]}
    %4 = mul(%3, %2)
    %5 = reduce_mean(%4) {axes = [2, 3], keep_dims = true}
    %6 = sigmoid(%5)
    %7 = mul(%4, %6)
    %8 = pool(%7) {mode = "max", kernel = [2, 2], strides = [2, 2], pads = [0, 0, 0, 0]}
    %9 = concat(%8, %8) {axis = 1}
    %10 = reduce_mean(%9) {axes = [2, 3], keep_dims = false}
    output "y" = %10
  })");
  EXPECT_TRUE(outcome.changed);
  EXPECT_THAT(outcome.text, Not(HasSubstr("perm = [0,3,1,2]"))) << outcome.text;
  EXPECT_THAT(outcome.text, Not(HasSubstr(" pool("))) << outcome.text;
  EXPECT_THAT(outcome.text, Not(HasSubstr("reduce_mean"))) << outcome.text;
}

// What adds planes of another kind, or reads them by other axes, gets planes.
TEST(ChannelsLast, HandsPlanesToTheRest) {
  const Outcome outcome = RunPass(ChannelsLast, R"(mir "m" {
    %0 = input "x" : f32[2,3,8,8]
    %1 = input "z" : f32[2,4,8,8]
    %2 = param "w" : f32[4,3,3,3]
    %3 = conv(%0, %2) {strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1]}
    %4 = add(%3, %1)
    %5 = softmax(%3) {axis = 1}
    output "sum" = %4
    output "y" = %5
  })");
  EXPECT_THAT(outcome.text, HasSubstr("perm = [0,3,1,2]"));
}

// A region that the author wrote: its body is typed in planes.
TEST(ChannelsLast, HandsPlanesToWrittenRegions) {
  const Outcome outcome = RunPass(ChannelsLast, R"(mir "m" {
    %0 = input "x" : f32[2,3,8,8]
    %1 = param "w" : f32[4,3,3,3]
    %2 = param "v" : f32[4,4,1,1]
    %3 = conv(%0, %1) {strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1]}
    %4 = elementwise_region(%3) graph "" {
      %0 = input "" : f32[2,4,8,8]
      %1 = tanh(%0)
      output "" = %1
    }
    %5 = conv(%4, %2) {strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1]}
    output "y" = %5
  })");
  EXPECT_TRUE(outcome.changed);
  EXPECT_THAT(outcome.text, Not(HasSubstr(" conv("))) << outcome.text;
}

TEST(ChannelsLast, LeavesOtherRanksAlone) {
  ExpectUntouched(ChannelsLast, R"(mir "m" {
    %0 = input "x" : f32[2,3,8]
    %1 = param "w" : f32[4,3,3]
    %2 = conv(%0, %1) {strides = [1], pads = [1, 1], dilations = [1]}
    output "y" = %2
  })");
}

constexpr std::string_view kConvs = R"(mir "m" {
    %0 = input "x" : f32[2,8,8,4]
    %1 = param "w" : f32[4,4,1,1]
    %2 = fused_conv_bias_act(%0, %1) {strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1]}
)";
std::string Behind(std::string_view nodes) { return Cat(kConvs, nodes, "\n  }"); }

TEST(FuseConvEpilogue, TakesSumAndActivation) {
  ExpectRewrite(FuseConvEpilogue, Behind(R"(
    %3 = add(%0, %2)
    %4 = relu(%3)
    output "y" = %4)"),
                R"(mir "m" {
    %0 = input "x" : f32[2,8,8,4]
    %1 = param "w" : f32[4,4,1,1]
    %2 = fused_conv_bias_act(%0, %1, %0) {strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], has_residual = true, activation = "relu"}
    output "y" = %2
  })");
}

TEST(FuseConvEpilogue, KnowsSiluWrittenOut) {
  ExpectRewrite(FuseConvEpilogue, Behind(R"(
    %3 = sigmoid(%2)
    %4 = mul(%2, %3)
    output "y" = %4)"),
                R"(mir "m" {
    %0 = input "x" : f32[2,8,8,4]
    %1 = param "w" : f32[4,4,1,1]
    %2 = fused_conv_bias_act(%0, %1) {strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], activation = "silu"}
    output "y" = %2
  })");
}

TEST(FuseConvEpilogue, KnowsHardSwishByItsNumbers) {
  const auto swish = [](std::string_view one) {
    return Behind(Cat(R"(
    %3 = constant {value = f32[] (0.16666667)}
    %4 = constant {value = f32[] (0.5)}
    %5 = constant {value = f32[] (0)}
    %6 = constant {value = f32[] ()",
                      one, R"()}
    %7 = mul(%2, %3)
    %8 = add(%7, %4)
    %9 = max(%8, %5)
    %10 = min(%9, %6)
    %11 = mul(%2, %10)
    output "y" = %11)"));
  };
  EXPECT_THAT(RunPass(FuseConvEpilogue, swish("1")).text, HasSubstr("activation = \"hard_swish\""));
  ExpectUntouched(FuseConvEpilogue, swish("2"));
}

TEST(FuseConvEpilogue, LeavesWhatOthersRead) {
  ExpectUntouched(FuseConvEpilogue, Behind(R"(
    %3 = relu(%2)
    output "y" = %3
    output "sum" = %2)"));
}

// The activation comes last: what is added after it stays.
TEST(FuseConvEpilogue, AddsNothingBehindAnActivation) {
  const Outcome outcome = RunPass(FuseConvEpilogue, Behind(R"(
    %3 = relu(%2)
    %4 = add(%3, %0)
    output "y" = %4)"));
  EXPECT_THAT(outcome.text, HasSubstr("activation = \"relu\""));
  EXPECT_THAT(outcome.text, HasSubstr("add("));
}

}  // namespace
}  // namespace rlx::passes
