// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/passes/pass_test.h"

namespace rlx::passes {
namespace {

TEST(FuseResidualLayerNorm, TakesTheSum) {
  ExpectRewrite(FuseResidualLayerNorm, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = input "r" : f32[2,4]
    %2 = param "g" : f32[4]
    %3 = param "b" : f32[4]
    %4 = add(%0, %1)
    %5 = layer_norm(%4, %2, %3) {eps = 1e-12}
    output "y" = %5
  })",
                R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = input "r" : f32[2,4]
    %2 = param "g" : f32[4]
    %3 = param "b" : f32[4]
    %4 = fused_residual_layer_norm(%0, %1, %2, %3) {eps = 1e-12}
    output "y" = %4
  })");
}

// The pre-norm transformer: the sum is read again later, and is an output too.
TEST(FuseResidualRmsNorm, GivesTheSumToItsOtherReaders) {
  ExpectRewrite(FuseResidualRmsNorm, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = input "r" : f32[2,4]
    %2 = param "g" : f32[4]
    %3 = add(%0, %1)
    %4 = rms_norm(%3, %2)
    %5 = add(%3, %4)
    output "y" = %5
    output "sum" = %3
  })",
                R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = input "r" : f32[2,4]
    %2 = param "g" : f32[4]
    %3 = fused_residual_rms_norm(%0, %1, %2)
    %4 = add(%3.1, %3)
    output "y" = %4
    output "sum" = %3.1
  })");
}

TEST(FuseResidualRmsNorm, ChainsFromBlockToBlock) {
  const Outcome outcome = RunPass(FuseResidualRmsNorm, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = input "r" : f32[2,4]
    %2 = param "g" : f32[4]
    %3 = add(%0, %1)
    %4 = rms_norm(%3, %2)
    %5 = add(%3, %4)
    %6 = rms_norm(%5, %2)
    %7 = add(%5, %6)
    output "y" = %7
  })");
  EXPECT_EQ(outcome.graph.size(), 6);
  EXPECT_EQ(outcome.graph.node(4).operands[0], (Value{3, 1}));
}

// A sum that stretches one side is no residual sum, nor is a norm over two axes one over rows.
TEST(FuseResidualLayerNorm, LeavesOtherShapesAndAxes) {
  const char text[] = R"(mir "m" {
    %0 = input "x" : f32[2,3,4]
    %1 = input "r" : f32[3,4]
    %2 = param "g" : f32[4]
    %3 = param "b" : f32[4]
    %4 = param "g2" : f32[3,4]
    %5 = param "b2" : f32[3,4]
    %6 = add(%0, %1)
    %7 = layer_norm(%6, %2, %3)
    %8 = add(%0, %0)
    %9 = layer_norm(%8, %4, %5) {axis = 1}
    output "y" = %7
    output "z" = %9
  })";
  ExpectUntouched(FuseResidualLayerNorm, text);
  const std::vector<Remark> missed = RunPass(FuseResidualLayerNorm, text).Missed();
  ASSERT_EQ(missed.size(), 1u);
  EXPECT_EQ(missed[0].reason, "residual_shape");
  EXPECT_FALSE(missed[0].actionable);
}

// gamma computed from the sum cannot be read by the node that makes the sum.
TEST(FuseResidualRmsNorm, LeavesAScaleThatComesFromTheSum) {
  ExpectUntouched(FuseResidualRmsNorm, R"(mir "m" {
    %0 = input "x" : f32[1,4]
    %1 = add(%0, %0)
    %2 = reshape(%1) {shape = [4]}
    %3 = rms_norm(%1, %2)
    output "y" = %3
  })");
}

TEST(FuseSwigluDualMatMul, MakesOneProductWithTheUpHalfFirst) {
  // The gate is declared first and multiplied first: the result is the same.
  ExpectRewrite(FuseSwigluDualMatMul, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "gate" : f32[4,3]
    %2 = param "up" : f32[4,3]
    %3 = matmul(%0, %1)
    %4 = silu(%3)
    %5 = matmul(%0, %2)
    %6 = mul(%4, %5)
    output "y" = %6
  })",
                R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "gate" : f32[4,3]
    %2 = param "up" : f32[4,3]
    %3 = concat(%2, %1) {axis = 1}
    %4 = matmul(%0, %3)
    %5 = fused_swiglu(%4)
    output "y" = %5
  })");
}

TEST(FuseSwigluDualMatMul, LeavesProductsThatOthersRead) {
  const char text[] = R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "gate" : f32[4,3]
    %2 = param "up" : f32[4,3]
    %3 = matmul(%0, %1)
    %4 = silu(%3)
    %5 = matmul(%0, %2)
    %6 = mul(%5, %4)
    %7 = exp(%5)
    output "y" = %6
    output "z" = %7
  })";
  ExpectUntouched(FuseSwigluDualMatMul, text);
  const std::vector<Remark> missed = RunPass(FuseSwigluDualMatMul, text).Missed();
  ASSERT_EQ(missed.size(), 1u);
  EXPECT_EQ(missed[0].message, "%5 (matmul) has 2 users");
}

TEST(FuseSwigluDualMatMul, SaysWhenTheInputsDiffer) {
  const Outcome outcome = RunPass(FuseSwigluDualMatMul, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = input "z" : f32[2,4]
    %2 = param "gate" : f32[4,3]
    %3 = param "up" : f32[4,3]
    %4 = matmul(%0, %2)
    %5 = silu(%4)
    %6 = matmul(%1, %3)
    %7 = mul(%6, %5)
    output "y" = %7
  })");
  ASSERT_EQ(outcome.Missed().size(), 1u);
  EXPECT_EQ(outcome.Missed()[0].reason, "swiglu_not_shared_input");
  EXPECT_TRUE(outcome.Missed()[0].actionable);
}

TEST(FuseSwiglu, TellsWhichHalfIsTheGate) {
  ExpectRewrite(FuseSwiglu, R"(mir "m" {
    %0 = input "c" : f32[2,6]
    %1 = narrow(%0) {axis = 1, start = 0, length = 3}
    %2 = narrow(%0) {axis = 1, start = 3, length = 3}
    %3 = silu(%2)
    %4 = mul(%1, %3)
    output "y" = %4
  })",
                R"(mir "m" {
    %0 = input "c" : f32[2,6]
    %1 = fused_swiglu(%0) {gate_first = false}
    output "y" = %1
  })");
  ExpectRewrite(FuseSwiglu, R"(mir "m" {
    %0 = input "c" : f32[2,6]
    %1 = narrow(%0) {axis = 1, start = 0, length = 3}
    %2 = narrow(%0) {axis = 1, start = 3, length = 3}
    %3 = silu(%1)
    %4 = mul(%3, %2)
    output "y" = %4
    output "c" = %0
  })",
                R"(mir "m" {
    %0 = input "c" : f32[2,6]
    %1 = fused_swiglu(%0) {gate_first = true}
    output "y" = %1
    output "c" = %0
  })");
}

TEST(FuseSwiglu, LeavesWhatIsNoHalfOfTheLastAxis) {
  ExpectUntouched(FuseSwiglu, R"(mir "m" {
    %0 = input "c" : f32[6,8]
    %1 = narrow(%0) {axis = 0, start = 0, length = 3}
    %2 = narrow(%0) {axis = 0, start = 3, length = 3}
    %3 = silu(%2)
    %4 = mul(%1, %3)
    %5 = narrow(%0) {axis = 1, start = 0, length = 3}
    %6 = narrow(%0) {axis = 1, start = 3, length = 3}
    %7 = silu(%6)
    %8 = mul(%5, %7)
    %9 = narrow(%0) {axis = 1, start = 4, length = 4}
    %10 = silu(%9)
    %11 = mul(%9, %10)
    output "a" = %4
    output "b" = %8
    output "c" = %11
  })");
}

TEST(FuseSwiglu, LeavesAHalfThatIsAnOutput) {
  ExpectUntouched(FuseSwiglu, R"(mir "m" {
    %0 = input "c" : f32[2,6]
    %1 = narrow(%0) {axis = 1, start = 0, length = 3}
    %2 = narrow(%0) {axis = 1, start = 3, length = 3}
    %3 = silu(%2)
    %4 = mul(%1, %3)
    output "y" = %4
    output "up" = %1
  })");
}

}  // namespace
}  // namespace rlx::passes
