// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/passes/pass_test.h"

namespace rlx::passes {
namespace {

TEST(MarkElementwiseRegions, MakesOneRegionOfAChain) {
  ExpectRewrite(MarkElementwiseRegions, R"(mir "m" {
    %0 = input "a" : f32[2,4]
    %1 = input "b" : f32[2,4]
    %2 = input "c" : f32[4]
    %3 = add(%0, %1)
    %4 = mul(%3, %2)
    %5 = relu(%4)
    output "y" = %5
  })",
                R"(mir "m" {
    %0 = input "a" : f32[2,4]
    %1 = input "b" : f32[2,4]
    %2 = input "c" : f32[4]
    %3 = elementwise_region(%0, %1, %2) graph "" {
      %0 = input "" : f32[2,4]
      %1 = input "" : f32[2,4]
      %2 = input "" : f32[4]
      %3 = add(%0, %1)
      %4 = mul(%3, %2)
      %5 = relu(%4)
      output "" = %5
    }
    output "y" = %3
  })");
}

TEST(MarkElementwiseRegions, LeavesASingleNode) {
  ExpectUntouched(MarkElementwiseRegions, R"(mir "m" {
    %0 = input "a" : f32[2,4]
    %1 = exp(%0)
    %2 = softmax(%1)
    output "y" = %2
  })");
}

// x·sigmoid(x) and the like: a value read twice inside is computed once.
TEST(MarkElementwiseRegions, TakesADiamond) {
  const Outcome outcome = RunPass(MarkElementwiseRegions, R"(mir "m" {
    %0 = input "a" : f32[2,4]
    %1 = neg(%0)
    %2 = sigmoid(%1)
    %3 = mul(%1, %2)
    output "y" = %3
  })");
  EXPECT_EQ(outcome.graph.size(), 2);
  EXPECT_EQ(outcome.graph.node(1).subgraphs[0]->size(), 4);
  EXPECT_EQ(outcome.remarks[0].launches_saved, 2);
  EXPECT_EQ(outcome.remarks[0].bytes_saved, 2 * 2 * 32);
}

TEST(MarkElementwiseRegions, GivesAnIntermediateThatOthersReadAsAResult) {
  const Outcome outcome = RunPass(MarkElementwiseRegions, R"(mir "m" {
    %0 = input "a" : f32[2,4]
    %1 = neg(%0)
    %2 = exp(%1)
    %3 = softmax(%1)
    output "y" = %2
    output "s" = %3
    output "n" = %1
  })");
  EXPECT_EQ(outcome.graph.node(1).op, OpKind::kElementwiseRegion);
  EXPECT_EQ(outcome.graph.node(1).results.size(), 2u);
  EXPECT_EQ(outcome.graph.outputs()[2].value, (Value{1, 1}));
  EXPECT_EQ(outcome.remarks[0].bytes_saved, 32);
}

// A reader between two members would close a cycle through the region.
TEST(MarkElementwiseRegions, LeavesOutWhatComesBackIntoTheRegion) {
  ExpectUntouched(MarkElementwiseRegions, R"(mir "m" {
    %0 = input "a" : f32[2,4]
    %1 = exp(%0)
    %2 = softmax(%1)
    %3 = add(%1, %2)
    output "y" = %3
  })");
}

// [N,1] and [1,M] operands stretch as numpy says, not by counting elements.
TEST(MarkElementwiseRegions, BroadcastsInputsByAxes) {
  const Outcome outcome = RunPass(MarkElementwiseRegions, R"(mir "m" {
    %0 = input "a" : f32[4,1]
    %1 = input "b" : f32[1,4]
    %2 = input "c" : f32[3,1,4]
    %3 = add(%0, %1)
    %4 = mul(%2, %3)
    %5 = sub(%4, %0)
    output "y" = %5
  })");
  EXPECT_EQ(outcome.graph.size(), 5);
  EXPECT_EQ(outcome.graph.node(3).op, OpKind::kAdd);  // another shape than the region's
  EXPECT_EQ(outcome.graph.node(4).op, OpKind::kElementwiseRegion);
}

TEST(MarkElementwiseRegions, PutsScalarConstantsIntoTheBody) {
  const Outcome outcome = RunPass(MarkElementwiseRegions, R"(mir "m" {
    %0 = input "a" : f32[2,4]
    %1 = constant {value = f32[] (0.5)}
    %2 = mul(%0, %1)
    %3 = add(%2, %1)
    %4 = lt(%3, %0)
    %5 = where(%4, %2, %0)
    %6 = cast(%5) {to = f16}
    output "y" = %6
  })");
  EXPECT_EQ(outcome.graph.size(), 2);
  EXPECT_EQ(outcome.graph.node(1).operands.size(), 1u);
}

TEST(MarkElementwiseRegions, KeepsWeightsOutOfTheRun) {
  const Outcome outcome = RunPass(MarkElementwiseRegions, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "a" : f32[2,4]
    %2 = param "b" : f32[2,4]
    %3 = mul(%1, %2)
    %4 = exp(%3)
    %5 = add(%0, %4)
    %6 = neg(%5)
    output "y" = %6
  })");
  ASSERT_EQ(outcome.graph.size(), 5);
  EXPECT_EQ(outcome.graph.node(3).operands, (std::vector<Value>{{1, 0}, {2, 0}}));
  EXPECT_EQ(outcome.graph.node(4).operands, (std::vector<Value>{{0, 0}, {3, 0}}));
  EXPECT_EQ(outcome.remarks.size(), 1u);  // what is computed once saves nothing per run
}

TEST(MarkElementwiseRegions, KeepsWithinTheLimits) {
  std::string chain = "mir \"m\" { %0 = input \"x\" : f32[4]\n";
  for (int i = 0; i < 70; ++i) chain += Cat("%", i + 1, " = neg(%", i, ")\n");
  chain += "output \"y\" = %70 }";
  PassContext context;  // 32 steps, 16 inputs
  EXPECT_EQ(RunPass(MarkElementwiseRegions, chain, context).graph.size(), 1 + 3);
  context.limits.max_elementwise_steps = 100;
  EXPECT_EQ(RunPass(MarkElementwiseRegions, chain, context).graph.size(), 1 + 1);

  std::string sum = "mir \"m\" {\n";
  for (int i = 0; i < 20; ++i) sum += Cat("%", i, " = input \"i", i, "\" : f32[4]\n");
  for (int i = 0; i < 19; ++i) {
    sum += Cat("%", 20 + i, " = add(%", i == 0 ? 0 : 19 + i, ", %", i + 1, ")\n");
  }
  sum += "output \"y\" = %38 }";
  const Outcome outcome = RunPass(MarkElementwiseRegions, sum);
  EXPECT_LT(outcome.graph.size(), 20 + 19);
  for (const Node& node : outcome.graph.nodes()) EXPECT_LE(node.operands.size(), 16u);
}

TEST(MarkElementwiseRegions, WorksWithSymbols) {
  const Outcome outcome = RunPass(MarkElementwiseRegions, R"(mir "m" {
    symbol batch in [1, 8]
    %0 = input "x" : f32[batch,4]
    %1 = input "b" : f32[4]
    %2 = add(%0, %1)
    %3 = exp(%2)
    output "y" = %3
  })");
  EXPECT_EQ(outcome.graph.size(), 3);
}

const char kRegion[] = R"(mir "m" {
  %0 = input "a" : f32[2,4]
  %1 = elementwise_region(%0) graph "" {
    %0 = input "" : f32[2,4]
    %1 = exp(%0)
    %2 = neg(%1)
    output "" = %2
    output "" = %1
  }
  output "y" = %1
  output "z" = %1.1
})";
const char kInlined[] = R"(mir "m" {
  %0 = input "a" : f32[2,4]
  %1 = exp(%0)
  %2 = neg(%1)
  output "y" = %2
  output "z" = %1
})";

TEST(UnfuseElementwiseRegions, PutsTheBodyInPlace) {
  ExpectRewrite(UnfuseElementwiseRegions, kRegion, kInlined);
  ExpectUntouched(UnfuseElementwiseRegions, kInlined);
}

TEST(ClipElementwiseRegions, TakesApartWhatExceedsTheLimits) {
  PassContext context;
  ExpectUntouched(ClipElementwiseRegions, kRegion, context);
  context.limits.max_elementwise_steps = 1;
  ExpectRewrite(ClipElementwiseRegions, kRegion, kInlined, context);
}

TEST(UnfuseElementwiseRegions, IsTheInverseOfMarking) {
  Graph graph = ParseGraph(kInlined);
  PassContext context;
  ASSERT_TRUE(MarkElementwiseRegions(graph, context).ok());
  ASSERT_TRUE(UnfuseElementwiseRegions(graph, context).ok());
  EXPECT_EQ(Text(graph), Text(ParseGraph(kInlined)));
}

}  // namespace
}  // namespace rlx::passes
