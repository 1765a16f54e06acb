// SPDX-License-Identifier: Apache-2.0
// Faults of the system whose vocabulary this one follows, by their rows in its list of weaknesses:
// each test fails where a pass shares the fault.
#include <cmath>

#include "runtime/ir/evaluate.h"
#include "runtime/ir/op_info.h"
#include "tests/unit/passes/pass_test.h"

namespace rlx::passes {
namespace {

PassContext Claiming(std::set<std::string> claims) {
  PassContext context;
  context.claims = std::move(claims);
  return context;
}

// Row 9: fusion forgets that a value inside the pattern is an output of the module.
TEST(Faults, Row9FusionKeepsOutputsOfIntermediates) {
  const std::pair<PassFn, std::string_view> cases[] = {
      {FuseMatMulBiasAct, R"(%4 = matmul(%0, %1) %5 = add(%4, %2) %6 = gelu(%5)
                             output "y" = %6 output "product" = %4 output "sum" = %5)"},
      {FuseMatMulEpilogue, R"(%4 = matmul(%0, %1) %5 = silu(%4) %6 = add(%5, %0)
                              output "y" = %6 output "product" = %4 output "act" = %5)"},
      {FuseSwigluDualMatMul, R"(%4 = matmul(%0, %1) %5 = matmul(%0, %1) %6 = silu(%5)
                                %7 = mul(%4, %6) output "y" = %7 output "gate" = %5)"},
      {FuseSwiglu, R"(%4 = narrow(%0) {axis = 1, start = 0, length = 2}
                      %5 = narrow(%0) {axis = 1, start = 2, length = 2} %6 = silu(%5)
                      %7 = mul(%4, %6) output "y" = %7 output "silu" = %6)"},
      {FuseResidualLayerNorm, R"(%4 = add(%0, %0) %5 = layer_norm(%4, %2, %2)
                                 output "y" = %5 output "sum" = %4)"},
      {FuseSharedInputMatMul, R"(%4 = matmul(%0, %1) %5 = matmul(%0, %3)
                                 output "a" = %4 output "b" = %5)"},
      {MarkElementwiseRegions, R"(%4 = exp(%0) %5 = tanh(%4) %6 = mul(%5, %4)
                                  output "y" = %6 output "e" = %4 output "t" = %5)"},
  };
  for (const auto& [pass, body] : cases) {
    SCOPED_TRACE(body);
    // RunPass compares every output with the oracle's.
    RunPass(pass, Cat(R"(mir "m" { %0 = input "x" : f32[4,4] %1 = param "w" : f32[4,4]
                      %2 = param "b" : f32[4] %3 = param "v" : f32[4,4] )",
                      body, "}"));
  }
}

// Row 9: the gated product of two matmuls of which one has another reader.
TEST(Faults, Row9FusionKeepsValuesThatOthersRead) {
  ExpectUntouched(FuseSwigluDualMatMul, R"(mir "m" {
    %0 = input "x" : f32[4,4]
    %1 = param "w" : f32[4,4]
    %2 = matmul(%0, %1)
    %3 = matmul(%0, %1)
    %4 = silu(%3)
    %5 = mul(%2, %4)
    %6 = matmul(%3, %2)
    output "y" = %5
    output "z" = %6
  })");
}

// Row 10: a [n,1] operand of an [n,m] node indexed modulo n, since n divides n·m.
TEST(Faults, Row10RegionsBroadcastByAxes) {
  const Outcome outcome = RunPass(MarkElementwiseRegions, R"(mir "m" {
    %0 = input "x" : f32[3,3]
    %1 = input "column" : f32[3,1]
    %2 = input "part" : f32[3]
    %3 = add(%0, %1)
    %4 = mul(%3, %2)
    %5 = tanh(%4)
    output "y" = %5
  })");
  EXPECT_TRUE(outcome.changed);
}

// Row 11: a sum that stretches one side is no residual; a norm over two axes is none over rows.
TEST(Faults, Row11ResidualNormsNeedEqualShapesAndTheLastAxis) {
  ExpectUntouched(FuseResidualRmsNorm, R"(mir "m" {
    %0 = input "x" : f32[2,3,4]
    %1 = input "r" : f32[1,3,4]
    %2 = param "g" : f32[4]
    %3 = param "g2" : f32[3,4]
    %4 = add(%0, %1)
    %5 = rms_norm(%4, %2)
    %6 = add(%0, %0)
    %7 = rms_norm(%6, %3) {axis = 1}
    output "a" = %5
    output "b" = %7
  })");
}

// Row 12: taking apart forgets gate_first, score scale and softcap.
TEST(Faults, Row12DecompositionKeepsGateOrderScaleAndCap) {
  const Outcome outcome = RunPass(DecomposeUnclaimed, R"(mir "m" {
    %0 = input "x" : f32[1,3,8]
    %1 = param "qkv" : f32[8,12]
    %2 = param "out" : f32[4,8]
    %3 = fused_swiglu(%0) {gate_first = true}
    %4 = attention(%3, %3, %3) {num_heads = 2, head_dim = 2, scale = 3.0, softcap = 0.5}
    %5 = fused_attention_block(%0, %1, %2)
        {num_heads = 2, head_dim = 2, scale = 3.0, softcap = 0.5, mask = "causal"}
    output "a" = %4
    output "b" = %5
  })",
                                  Claiming({"MatMul", "Softmax"}));
  for (const Node& node : outcome.graph.nodes()) {
    EXPECT_NE(node.op, OpKind::kAttention);
    EXPECT_NE(node.op, OpKind::kFusedSwiglu);
  }
}

// Row 14: folding reads every constant as f32, and uses another gelu.
TEST(Faults, Row14FoldingKeepsTypesAndFunctions) {
  const Outcome outcome = RunPass(ConstantFolding, R"(mir "m" {
    %0 = constant {value = f64[2] (0.1, -1.5)}
    %1 = gelu(%0)
    %2 = constant {value = i64[2] (9007199254740993, -7)}
    %3 = add(%2, %2)
    %4 = constant {value = i32[2] (3, 5)}
    %5 = lt(%4, %4)
    output "gelu" = %1
    output "sum" = %3
    output "less" = %5
  })");
  const auto constant = [&](size_t i) {
    const Node& node = outcome.graph.node(outcome.graph.outputs()[i].value.node);
    EXPECT_EQ(node.op, OpKind::kConstant);
    return node.Tensor("value");
  };
  EXPECT_DOUBLE_EQ(constant(0).ToDoubles()[1], -0.75 * (1 + std::erf(-1.5 / std::sqrt(2))));
  EXPECT_EQ(constant(1).ToInts()[0], 18014398509481986);
  EXPECT_EQ(constant(2).dtype(), DType::kBool);
}

// Row 15: integers, booleans and f64 retagged; indices cast.
TEST(Faults, Row15MixedPrecisionLeavesIntegersAlone) {
  Graph graph = ParseGraph(R"(mir "m" {
    %0 = input "ids" : i64[3]
    %1 = input "on" : bool[3,1]
    %2 = input "d" : f64[3,4]
    %3 = param "table" : f32[9,4]
    %4 = gather(%3, %0)
    %5 = where(%1, %4, %4)
    %6 = exp(%2)
    output "y" = %5
    output "ids" = %0
    output "d" = %6
  })");
  PassContext context;
  context.policy.kind = PrecisionPolicyKind::kAlwaysF16;
  ASSERT_TRUE(MixedPrecision(graph, context).ok());
  ASSERT_TRUE(VerifyGraph(graph).ok());
  for (const Node& node : graph.nodes()) {
    if (node.op == OpKind::kInput) {
      EXPECT_NE(node.results[0].dtype, DType::kF16);
    }
    if (node.op == OpKind::kGather) {
      EXPECT_EQ(graph.type(node.operands[1]).dtype, DType::kI64);
    }
    if (node.op == OpKind::kExp) {
      EXPECT_EQ(node.results[0].dtype, DType::kF64);
    }
  }
  EXPECT_EQ(graph.type(graph.outputs()[0].value).dtype, DType::kF32);
}

// Row 16: lowering control flow loses names and where nodes came from.
TEST(Faults, Row16LoweringKeepsNamesAndSources) {
  const Outcome outcome = RunPass(LowerControlFlow, R"(mir "m" {
    %0 = input "p" : bool[]
    %1 = input "x" : f32[2]
    %2 = tanh "mine" (%1)
    %3 = if "choice" (%0, %2) graph "then" {
      %0 = input "a" : f32[2]
      %1 = exp(%0)
      output "o" = %1
    } graph "else" {
      %0 = input "a" : f32[2]
      output "o" = %0
    }
    output "y" = %3
  })",
                                  Claiming({"MatMul"}));
  EXPECT_THAT(outcome.text, ::testing::HasSubstr("\"mine\""));
  EXPECT_THAT(outcome.text, ::testing::HasSubstr("\"choice\""));
}

// Row 17: dead code elimination changes the signature.
TEST(Faults, Row17UnusedInputsAndParamsStay) {
  const Outcome outcome = RunPass(DeadCodeElimination, R"(mir "m" {
    %0 = input "used" : f32[2]
    %1 = input "unused" : f32[2]
    %2 = param "idle" : f32[2]
    %3 = exp(%1)
    output "y" = %0
  })");
  EXPECT_EQ(outcome.graph.size(), 3);
}

}  // namespace
}  // namespace rlx::passes
