// SPDX-License-Identifier: Apache-2.0
// A mixed-precision policy holds inside of loops and branches, which keep what they take and give.
#include <gmock/gmock.h>

#include <algorithm>

#include "runtime/ir/op_info.h"
#include "runtime/stages/stages.h"
#include "tests/support/oracle.h"
#include "tests/support/same_results.h"
#include "tests/unit/stages/models.h"

namespace rlx::stages {
namespace {

// A recurrent cell under a gate; every other turn of a while of its own takes a branch.
constexpr std::string_view kCell = R"(mir "cell" {
  %0 = input "h" : f32[2,8]
  %1 = param "w" : f32[8,8]
  %2 = input "xs" : f32[40,2,8]
  %3 = scan(%0, %1, %2) {carries = 1, sequences = 1, length = [40]} graph "" {
    %0 = input "h" : f32[2,8]
    %1 = input "w" : f32[8,8]
    %2 = input "x" : f32[2,8]
    %3 = matmul(%0, %1)
    %4 = add(%3, %2)
    %5 = tanh(%4)
    %6 = matmul(%5, %1)
    %7 = sigmoid(%6)
    output "h" = %5
    output "y" = %7
  }
  %4 = constant {value = i64[] (0)}
  %5 = while(%3.0, %4, %1) {carries = 2, max_iterations = 30} graph "" {
    %0 = input "h" : f32[2,8]
    %1 = input "i" : i64[]
    %2 = input "w" : f32[8,8]
    %3 = constant {value = i64[] (20)}
    %4 = lt(%1, %3)
    output "on" = %4
  } graph "" {
    %0 = input "h" : f32[2,8]
    %1 = input "i" : i64[]
    %2 = input "w" : f32[8,8]
    %3 = constant {value = i64[] (10)}
    %4 = lt(%1, %3)
    %5 = if(%4, %0, %2) graph "" {
      %0 = input "h" : f32[2,8]
      %1 = input "w" : f32[8,8]
      %2 = matmul(%0, %1)
      %3 = sin(%2)
      output "h" = %3
    } graph "" {
      %0 = input "h" : f32[2,8]
      %1 = input "w" : f32[8,8]
      output "h" = %0
    }
    %6 = constant {value = i64[] (1)}
    %7 = add(%1, %6)
    output "h" = %5
    output "i" = %7
  }
  output "last" = %5.0
  output "turns" = %5.1
  output "all" = %3.1
})";

CompileResult Compiled(PrecisionPolicyKind policy) {
  CompileRequest request{.until = Stage::kLir};
  request.options.policy = PrecisionPolicy{policy, {}};
  request.options.fusion.skip_fusion = true;
  request.options.kernel_dispatch.force_native_kinds = {{"If", "While", "Scan"}};
  auto result = CompileModuleStages(ParseOrFail(kCell), request);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *std::move(result) : CompileResult{};
}

const Node& Find(const Graph& graph, OpKind op) {
  const auto node = std::ranges::find(graph.nodes(), op, &Node::op);
  EXPECT_NE(node, graph.nodes().end()) << Name(op) << " in " << Print(graph);
  return *node;
}

DType TypeOf(const Graph& graph, OpKind op) { return Find(graph, op).results[0].dtype; }

TEST(PrecisionInBodies, NarrowsProductsAndKeepsWhatIsCarried) {
  const CompileResult result = Compiled(PrecisionPolicyKind::kAutoMixed);
  const Graph& graph = result.lir.graph;
  const Graph& turn = *Find(graph, OpKind::kScan).subgraphs[0];
  EXPECT_EQ(TypeOf(turn, OpKind::kMatMul), DType::kF16);
  EXPECT_EQ(TypeOf(turn, OpKind::kTanh), DType::kF32);     // the carry
  EXPECT_EQ(TypeOf(turn, OpKind::kSigmoid), DType::kF16);  // the stack
  const Graph& branch = *Find(*Find(graph, OpKind::kWhile).subgraphs[1], OpKind::kIf).subgraphs[0];
  EXPECT_EQ(TypeOf(branch, OpKind::kMatMul), DType::kF16);
  EXPECT_EQ(TypeOf(branch, OpKind::kSin), DType::kF32);  // carried by the loop around
}

TEST(PrecisionInBodies, CastsTheWeightOnceForAll) {
  const CompileResult result = Compiled(PrecisionPolicyKind::kAutoMixed);
  const Graph& graph = result.lir.graph;
  const Value weight = Find(graph, OpKind::kScan).operands[1];
  EXPECT_EQ(graph.type(weight), (TensorType{DType::kF16, {8, 8}}));
  EXPECT_TRUE(result.lir.plan.weight_only[static_cast<size_t>(weight.node)]);
  EXPECT_EQ(Find(graph, OpKind::kWhile).operands[2], weight);  // out of the branch, and of the loop
}

TEST(PrecisionInBodies, KeepsTypesAndMeaning) {
  const Graph before = ParseOrFail(kCell).graph;
  TensorMap inputs = test::RandomInputs(before, 7);
  std::vector<double> weight = inputs.at("w").ToDoubles();
  for (double& w : weight) w *= 0.2;  // so that differences die away
  inputs["w"] = HostTensor::FromDoubles(DType::kF32, {8, 8}, weight);
  const auto want = Evaluate(before, inputs);
  ASSERT_TRUE(want.ok()) << want.status();
  for (const auto policy : {PrecisionPolicyKind::kAlwaysF16, PrecisionPolicyKind::kAutoMixedBf16,
                            PrecisionPolicyKind::kAutoMixedConservative}) {
    const CompileResult result = Compiled(policy);
    const auto got = Evaluate(result.lir.graph, inputs);
    ASSERT_TRUE(got.ok()) << got.status();
    for (size_t i = 0; i < want->size(); ++i) {
      EXPECT_TRUE(test::CompareToOracle((*got)[i], (*want)[i], {0, 0.1})) << "output " << i;
    }
  }
}

// All is as it is written where nothing says otherwise.
TEST(PrecisionInBodies, StaysInF32Unasked) {
  const CompileResult result = Compiled(PrecisionPolicyKind::kAlwaysF32);
  EXPECT_EQ(result.fusion.ops_after.count("cast"), 0u);
}

}  // namespace
}  // namespace rlx::stages
