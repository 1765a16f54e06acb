// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/status.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/text.h"
#include "runtime/ir/verify.h"
#include "tests/support/graphs.h"

namespace rlx {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kModule = R"(mir "m" {
  symbol batch in [1, 8]
  symbol seq in [1, 16]
  %0 = input "x" : f32[batch,seq,4]
  %1 = input "y" : f32[batch,past_seq,4]
  %2 = reshape(%0) {shape = [(batch * seq),4]}
  %3 = reshape(%2) {shape = [-1,seq,2,2]}
  %4 = narrow(%0) {axis = 1, start = 3, length = 2}
  %5 = add(%0, %1)
  %6 = elementwise_region(%5) graph "" {
    %0 = input "" : f32[batch,seq,4]
    %1 = neg(%0)
    output "" = %1
  }
  output "a" = %3
  output "b" = %4
  output "c" = %6
})";

TEST(BindSymbols, ReplacesSymbolsEverywhere) {
  const Graph graph = test::ParseGraph(kModule);
  const auto bound = BindSymbols(graph, {{"batch", 2}, {"seq", 5}, {"past_seq", 5}});
  ASSERT_TRUE(bound.ok()) << Message(bound.status());
  EXPECT_TRUE(VerifyGraph(*bound).ok());
  EXPECT_TRUE(bound->symbols.empty());
  EXPECT_TRUE(bound->constraints.empty());
  EXPECT_EQ(ToString(bound->type(bound->outputs()[0].value)), "f32[2,5,2,2]");
  EXPECT_EQ(ToString(bound->type(bound->outputs()[2].value)), "f32[2,5,4]");
  EXPECT_EQ(bound->node(2).Dims("shape"), (Shape{10, 4}));
  EXPECT_EQ(Print(*bound).find("seq"), std::string::npos);
}

TEST(BindSymbols, LeavesTheRestSymbolic) {
  const Graph graph = test::ParseGraph(kModule);
  const auto bound = BindSymbols(graph, {{"batch", 2}});
  ASSERT_TRUE(bound.ok()) << Message(bound.status());
  const absl::Status sound = VerifyGraph(*bound);
  EXPECT_TRUE(sound.ok()) << Message(sound);
  EXPECT_EQ(bound->symbols.size(), 1u);
  EXPECT_EQ(ToString(bound->type(bound->outputs()[0].value)), "f32[2,seq,2,2]");
  const auto rest = BindSymbols(*bound, {{"seq", 5}, {"past_seq", 5}});
  const auto at_once = BindSymbols(graph, {{"batch", 2}, {"seq", 5}, {"past_seq", 5}});
  ASSERT_TRUE(rest.ok() && at_once.ok());
  EXPECT_EQ(Print(*rest), Print(*at_once));
}

TEST(BindSymbols, ChecksRangesAndConstraints) {
  const Graph graph = test::ParseGraph(kModule);
  const auto complaint = [&](const DimBinding& binding) {
    return std::string(Message(BindSymbols(graph, binding).status()));
  };
  EXPECT_THAT(complaint({{"batch", 9}}), HasSubstr("batch = 9 is outside [1, 8]"));
  EXPECT_THAT(complaint({{"batch", 0}}), HasSubstr("outside"));
  EXPECT_THAT(complaint({{"batch", 1}, {"seq", 5}, {"past_seq", 6}}), HasSubstr("5 vs 6"));
  // A slice is never moved to fit.
  EXPECT_THAT(complaint({{"batch", 1}, {"seq", 4}, {"past_seq", 4}}),
              HasSubstr("%4 narrow: elements 3 to 5 exceed extent 4"));
}

TEST(BindSymbols, ConstraintsAreEnoughToCheckABinding) {
  const Graph graph = test::ParseGraph(kModule);
  EXPECT_TRUE(CheckConstraints(graph.constraints, {{"seq", 5}, {"past_seq", 5}}).ok());
  EXPECT_FALSE(CheckConstraints(graph.constraints, {{"seq", 4}, {"past_seq", 4}}).ok());
  EXPECT_FALSE(CheckConstraints(graph.constraints, {{"seq", 5}, {"past_seq", 6}}).ok());
}

}  // namespace
}  // namespace rlx
