// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/passes/pass_test.h"

namespace rlx::passes {
namespace {

TEST(FuseMatMulBiasAct, TakesBiasAndActivation) {
  ExpectRewrite(FuseMatMulBiasAct, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,3]
    %2 = param "b" : f32[3]
    %3 = matmul(%0, %1)
    %4 = add(%3, %2)
    %5 = gelu(%4)
    output "y" = %5
  })",
                R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,3]
    %2 = param "b" : f32[3]
    %3 = fused_matmul_bias_act(%0, %1, %2) {has_bias = true, activation = "gelu"}
    output "y" = %3
  })");
}

TEST(FuseMatMulBiasAct, TakesABiasOnTheLeftAndDeclaredLate) {
  ExpectRewrite(FuseMatMulBiasAct, R"(mir "m" {
    %0 = input "x" : f32[5,2,4]
    %1 = param "w" : f32[4,3]
    %2 = matmul(%0, %1)
    %3 = param "b" : f32[3]
    %4 = add(%3, %2)
    output "y" = %4
  })",
                R"(mir "m" {
    %0 = input "x" : f32[5,2,4]
    %1 = param "w" : f32[4,3]
    %2 = param "b" : f32[3]
    %3 = fused_matmul_bias_act(%0, %1, %2) {has_bias = true}
    output "y" = %3
  })");
}

TEST(FuseMatMulBiasAct, FlattensARowBias) {
  ExpectRewrite(FuseMatMulBiasAct, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,3]
    %2 = param "b" : f32[1,3]
    %3 = matmul(%0, %1)
    %4 = add(%3, %2)
    output "y" = %4
  })",
                R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,3]
    %2 = param "b" : f32[1,3]
    %3 = reshape(%2) {shape = [3]}
    %4 = fused_matmul_bias_act(%0, %1, %3) {has_bias = true}
    output "y" = %4
  })");
}

TEST(FuseMatMulBiasAct, KeepsAnOtherFunctionAndSaysSo) {
  const Outcome outcome = RunPass(FuseMatMulBiasAct, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,3]
    %2 = param "b" : f32[3]
    %3 = matmul(%0, %1)
    %4 = add(%3, %2)
    %5 = exp(%4)
    output "y" = %5
  })");
  EXPECT_EQ(outcome.graph.size(), 5);
  ASSERT_EQ(outcome.Missed().size(), 1u);
  EXPECT_EQ(outcome.Missed()[0].reason, "unsupported_epilogue_activation");
  EXPECT_FALSE(outcome.Missed()[0].actionable);
}

// A product that is itself an output, or read twice, keeps its meaning.
TEST(FuseMatMulBiasAct, LeavesAProductThatIsAnOutput) {
  const char text[] = R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,3]
    %2 = param "b" : f32[3]
    %3 = matmul(%0, %1)
    %4 = add(%3, %2)
    output "y" = %4
    output "product" = %3
  })";
  ExpectUntouched(FuseMatMulBiasAct, text);
  const std::vector<Remark> missed = RunPass(FuseMatMulBiasAct, text).Missed();
  ASSERT_EQ(missed.size(), 1u);
  EXPECT_EQ(missed[0].reason, "graph_output");
}

TEST(FuseMatMulBiasAct, LeavesAProductWithTwoReadersAndSaysWhy) {
  const char text[] = R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,3]
    %2 = param "b" : f32[3]
    %3 = matmul(%0, %1)
    %4 = add(%3, %2)
    %5 = exp(%3)
    output "y" = %4
    output "e" = %5
  })";
  ExpectUntouched(FuseMatMulBiasAct, text);
  const std::vector<Remark> missed = RunPass(FuseMatMulBiasAct, text).Missed();
  ASSERT_EQ(missed.size(), 1u);
  EXPECT_EQ(missed[0].message, "%3 (matmul) has 2 users");
  EXPECT_TRUE(missed[0].actionable);
  EXPECT_FALSE(missed[0].hint.empty());
}

TEST(FuseMatMulBiasAct, TakesTheBiasWhenOnlyTheSumIsShared) {
  const Outcome outcome = RunPass(FuseMatMulBiasAct, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,3]
    %2 = param "b" : f32[3]
    %3 = matmul(%0, %1)
    %4 = add(%3, %2)
    %5 = silu(%4)
    output "y" = %5
    output "sum" = %4
  })");
  EXPECT_THAT(outcome.text, ::testing::HasSubstr("fused_matmul_bias_act(%0, %1, %2)"));
  EXPECT_THAT(outcome.text, ::testing::HasSubstr("silu(%3)"));
}

TEST(FuseMatMulBiasAct, LeavesWhatIsNoBias) {
  // A residual, a scalar, a table of positions, integers, a batched right side.
  ExpectUntouched(FuseMatMulBiasAct, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,3]
    %2 = input "r" : f32[2,3]
    %3 = param "s" : f32[]
    %4 = param "positions" : f32[2,3]
    %5 = input "ix" : i32[2,4]
    %6 = param "iw" : i32[4,3]
    %7 = param "ib" : i32[3]
    %8 = param "wb" : f32[5,4,3]
    %9 = param "b" : f32[3]
    %10 = matmul(%0, %1)
    %11 = add(%10, %2)
    %12 = matmul(%0, %1)
    %13 = add(%12, %3)
    %14 = matmul(%0, %1)
    %15 = add(%14, %4)
    %16 = matmul(%5, %6)
    %17 = add(%16, %7)
    %18 = matmul(%0, %8)
    %19 = add(%18, %9)
    output "a" = %11
    output "b" = %13
    output "c" = %15
    output "d" = %17
    output "e" = %19
  })");
}

// A bias that makes the product larger is a sum of its own.
TEST(FuseMatMulBiasAct, LeavesASumThatStretchesTheProduct) {
  ExpectUntouched(FuseMatMulBiasAct, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,1]
    %2 = param "b" : f32[3]
    %3 = matmul(%0, %1)
    %4 = add(%3, %2)
    output "y" = %4
  })");
}

TEST(FuseMatMulBiasAct, MergesTheSourcesOfAllItReplaces) {
  const Outcome outcome = RunPass(FuseMatMulBiasAct, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,3]
    %2 = param "b" : f32[3]
    %3 = matmul(%0, %1) from hir 1 "up"
    %4 = add(%3, %2) from hir 1 "up"
    %5 = relu "act" (%4) from hir 2 "relu"
    output "y" = %5
  })");
  const Node& fused = outcome.graph.node(3);
  ASSERT_EQ(fused.sources.size(), 2u);
  EXPECT_EQ(fused.sources[0].name, "up");
  EXPECT_EQ(fused.sources[1].name, "relu");
  EXPECT_EQ(fused.name, "act");
  ASSERT_EQ(outcome.remarks.size(), 1u);
  EXPECT_EQ(outcome.remarks[0].rule, "matmul_bias_act");
  EXPECT_EQ(outcome.remarks[0].sources.size(), 2u);
  EXPECT_EQ(outcome.remarks[0].launches_saved, 2);
  EXPECT_EQ(outcome.remarks[0].bytes_saved, 2 * 2 * 2 * 3 * 4);  // two values, written and read
}

TEST(FuseMatMulBiasAct, WorksWithSymbols) {
  const Outcome outcome = RunPass(FuseMatMulBiasAct, R"(mir "m" {
    symbol batch in [1, 8]
    %0 = input "x" : f32[batch,4]
    %1 = param "w" : f32[4,3]
    %2 = param "b" : f32[3]
    %3 = matmul(%0, %1)
    %4 = add(%3, %2)
    output "y" = %4
  })");
  EXPECT_EQ(outcome.graph.size(), 4);
  EXPECT_EQ(outcome.remarks[0].bytes_saved, 2 * 8 * 3 * 4);
}

TEST(FuseMatMulEpilogue, TakesActivationAndResidual) {
  ExpectRewrite(FuseMatMulEpilogue, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,4]
    %2 = matmul(%0, %1)
    %3 = tanh(%2)
    %4 = add(%0, %3)
    output "y" = %4
  })",
                R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,4]
    %2 = fused_matmul_bias_act(%0, %1, %0) {has_residual = true, activation = "tanh"}
    output "y" = %2
  })");
}

TEST(FuseMatMulEpilogue, CompletesAFusedProduct) {
  ExpectRewrite(FuseMatMulEpilogue, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,4]
    %2 = param "b" : f32[4]
    %3 = fused_matmul_bias_act(%0, %1, %2) {has_bias = true}
    %4 = add(%3, %0)
    %5 = fused_matmul_bias_act(%4, %1)
    %6 = sigmoid(%5)
    output "y" = %6
  })",
                R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,4]
    %2 = param "b" : f32[4]
    %3 = fused_matmul_bias_act(%0, %1, %2, %0) {has_bias = true, has_residual = true}
    %4 = fused_matmul_bias_act(%3, %1) {activation = "sigmoid"}
    output "y" = %4
  })");
}

// residual comes after the activation in the op: an activation of a residual sum is not its
// epilogue.
TEST(FuseMatMulEpilogue, LeavesAnActivationOfAResidualSum) {
  ExpectRewrite(FuseMatMulEpilogue, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,4]
    %2 = matmul(%0, %1)
    %3 = add(%2, %0)
    %4 = relu(%3)
    output "y" = %4
  })",
                R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,4]
    %2 = fused_matmul_bias_act(%0, %1, %0) {has_residual = true}
    %3 = relu(%2)
    output "y" = %3
  })");
}

TEST(FuseMatMulEpilogue, LeavesAResidualOfAnotherShape) {
  ExpectUntouched(FuseMatMulEpilogue, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,4]
    %2 = input "r" : f32[1,4]
    %3 = matmul(%0, %1)
    %4 = add(%3, %2)
    output "y" = %4
  })");
}

// What weights alone decide is computed when they are bound, and must not move into the run.
TEST(FuseMatMulEpilogue, LeavesAProductOfWeights) {
  ExpectUntouched(FuseMatMulEpilogue, R"(mir "m" {
    %0 = input "x" : f32[4,4]
    %1 = param "a" : f32[4,2]
    %2 = param "b" : f32[2,4]
    %3 = matmul(%1, %2)
    %4 = add(%3, %0)
    output "y" = %4
  })");
}

TEST(FuseSharedInputMatMul, MergesThreeProjections) {
  const Outcome outcome = RunPass(FuseSharedInputMatMul, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "q" : f32[4,4]
    %2 = param "k" : f32[4,2]
    %3 = param "v" : f32[4,2]
    %4 = matmul(%0, %1)
    %5 = matmul(%0, %2)
    %6 = matmul(%0, %3)
    output "q" = %4
    output "k" = %5
    output "v" = %6
  })");
  EXPECT_EQ(outcome.graph.size(), 9);  // x, three weights, concat, matmul, three narrows
  ASSERT_EQ(outcome.remarks.size(), 1u);
  EXPECT_EQ(outcome.remarks[0].launches_saved, 2);
}

TEST(FuseSharedInputMatMul, JoinsBiasesToo) {
  ExpectRewrite(FuseSharedInputMatMul, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "a" : f32[4,4]
    %2 = param "b" : f32[4,2]
    %3 = param "ab" : f32[4]
    %4 = param "bb" : f32[2]
    %5 = fused_matmul_bias_act(%0, %1, %3) {has_bias = true, activation = "relu"}
    %6 = fused_matmul_bias_act(%0, %2, %4) {has_bias = true, activation = "relu"}
    output "a" = %5
    output "b" = %6
  })",
                R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "a" : f32[4,4]
    %2 = param "b" : f32[4,2]
    %3 = param "ab" : f32[4]
    %4 = param "bb" : f32[2]
    %5 = concat(%1, %2) {axis = 1}
    %6 = concat(%3, %4) {axis = 0}
    %7 = fused_matmul_bias_act(%0, %5, %6) {has_bias = true, activation = "relu"}
    %8 = narrow(%7) {axis = 1, start = 0, length = 4}
    %9 = narrow(%7) {axis = 1, start = 4, length = 2}
    output "a" = %8
    output "b" = %9
  })");
}

// One of three has no bias (the keys of some encoders): it gets zeros.
TEST(FuseSharedInputMatMul, FillsABiasThatOneLacks) {
  const Outcome outcome = RunPass(FuseSharedInputMatMul, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "a" : f32[4,4]
    %2 = param "b" : f32[4,2]
    %3 = param "ab" : f32[4]
    %4 = fused_matmul_bias_act(%0, %1, %3) {has_bias = true}
    %5 = matmul(%0, %2)
    output "a" = %4
    output "b" = %5
  })");
  EXPECT_TRUE(outcome.changed);
  const auto products = std::ranges::count_if(outcome.graph.nodes(), [](const Node& node) {
    return node.op == OpKind::kMatMul || node.op == OpKind::kFusedMatMulBiasAct;
  });
  EXPECT_EQ(products, 1);
}

constexpr char kApart[] = R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = input "z" : f32[2,4]
    %2 = param "a" : f32[4,4]
    %3 = input "b" : f32[4,2]
    %4 = matmul(%0, %2)
    %5 = matmul(%1, %2)
    %6 = matmul(%0, %3)
    %7 = fused_matmul_bias_act(%0, %2) {activation = "relu"}
    output "a" = %4
    output "b" = %5
    output "c" = %6
    output "d" = %7
  })";

TEST(FuseSharedInputMatMul, LeavesOtherInputsActivationsAndRunTimeWeights) {
  ExpectUntouched(FuseSharedInputMatMul, kApart);
  const std::vector<Remark> missed = RunPass(FuseSharedInputMatMul, kApart).Missed();
  ASSERT_EQ(missed.size(), 1u);
  EXPECT_EQ(missed[0].reason, "weight_not_constant");
  EXPECT_EQ(missed[0].message, "%6 (matmul) is by %3 (input), which is no weight");
}

}  // namespace
}  // namespace rlx::passes
