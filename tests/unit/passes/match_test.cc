// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/match.h"

#include "tests/unit/passes/pass_test.h"

namespace rlx::passes {
namespace {

const char kChain[] = R"(mir "m" {
  %0 = input "x" : f32[2,4]
  %1 = input "y" : f32[2,4]
  %2 = exp(%0)
  %3 = silu(%1)
  %4 = add(%2, %3)
  output "o" = %4
})";

TEST(Match, BindsCapturesInEitherOrderOfACommutativeOp) {
  const Graph graph = ParseGraph(kChain);
  const Uses uses(graph);
  Matcher matcher(graph, uses);
  const Pattern pattern =
      Op(OpKind::kAdd, {Op(OpKind::kSilu, {Any("a")}), Op(OpKind::kExp, {Any("b")})});
  const std::optional<Match> match = matcher.Find(4, pattern);
  ASSERT_TRUE(match) << matcher.why().message;
  EXPECT_EQ(match->at("a"), (Value{1, 0}));
  EXPECT_EQ(match->at("b"), (Value{0, 0}));
  EXPECT_EQ(match->interior.front(), 4);
  EXPECT_EQ(match->interior.size(), 3u);
}

TEST(Match, TriesTheOtherOrderWhenTheGuardRefusesOne) {
  const Graph graph = ParseGraph(kChain);
  const Uses uses(graph);
  Matcher matcher(graph, uses);
  const Pattern pattern = Op(OpKind::kAdd, {Any("a"), Any("b")});
  const auto match = matcher.Find(4, pattern, [](const Match& m) -> std::optional<Refusal> {
    if (m.at("a").node == 3) return std::nullopt;
    return Refusal{Reason::kOtherOp, "is not the one"};
  });
  ASSERT_TRUE(match);
  EXPECT_EQ(match->at("b").node, 2);
}

TEST(Match, OneCaptureTwiceIsOneValue) {
  const Graph graph = ParseGraph(kChain);
  const Uses uses(graph);
  Matcher matcher(graph, uses);
  EXPECT_FALSE(
      matcher.Find(4, Op(OpKind::kAdd, {OneOf({OpKind::kExp, OpKind::kSilu}, {Any("a")}),
                                        OneOf({OpKind::kExp, OpKind::kSilu}, {Any("a")})})));
  EXPECT_FALSE(matcher.why().near);
}

TEST(Match, TellsTheDeepestDifference) {
  const Graph graph = ParseGraph(kChain);
  const Uses uses(graph);
  Matcher matcher(graph, uses);
  EXPECT_FALSE(
      matcher.Find(4, Op(OpKind::kAdd, {Op(OpKind::kExp, {Op(OpKind::kTanh, {Any()})}), Any()})));
  EXPECT_EQ(matcher.why().message, "%0 (input) is not tanh");
}

TEST(Match, OtherReadersOfAnInteriorNodeAreANearMiss) {
  const Graph graph = ParseGraph(R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = silu(%0)
    %2 = exp(%1)
    %3 = add(%2, %1)
    output "o" = %3
  })");
  const Uses uses(graph);
  Matcher matcher(graph, uses);
  EXPECT_FALSE(matcher.Find(2, Op(OpKind::kExp, {Op(OpKind::kSilu, {Any("x")})})));
  EXPECT_TRUE(matcher.why().near);
  EXPECT_EQ(matcher.why().reason, Reason::kMultiConsumer);
  EXPECT_EQ(matcher.why().message, "%1 (silu) has 2 users");
  EXPECT_TRUE(matcher.Find(2, Op(OpKind::kExp, {Op(OpKind::kSilu, {Any("x")}).Shared()})));
}

TEST(Match, AModuleOutputIsANearMiss) {
  const Graph graph = ParseGraph(R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = silu(%0)
    %2 = exp(%1)
    output "o" = %2
    output "p" = %1
  })");
  const Uses uses(graph);
  Matcher matcher(graph, uses);
  EXPECT_FALSE(matcher.Find(2, Op(OpKind::kExp, {Op(OpKind::kSilu, {Any("x")})})));
  EXPECT_EQ(matcher.why().reason, Reason::kGraphOutput);
  EXPECT_EQ(matcher.why().message, "%1 (silu) is an output of the module");
}

}  // namespace
}  // namespace rlx::passes
