// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/status.h"
#include "runtime/ir/text.h"
#include "runtime/ir/verify.h"
#include "tests/support/graphs.h"

namespace rlx {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

HostTensor F32Tensor(std::vector<int64_t> dims, const std::vector<double>& values) {
  return HostTensor::FromDoubles(DType::kF32, std::move(dims), values);
}

std::vector<double> ResultOf(const Graph& graph, const TensorMap& inputs, size_t output = 0) {
  const auto got = Evaluate(graph, inputs);
  EXPECT_TRUE(got.ok()) << Message(got.status());
  return got.ok() ? (*got)[output].f : std::vector<double>();
}

// Doubles x until it reaches the limit, five times at most.
constexpr std::string_view kWhile = R"(mir "powers" {
  %0 = input "x" : f32[]
  %1 = input "limit" : f32[]
  %2 = while(%0, %1) {carries = 1, max_iterations = 5, must_end = false} graph "" {
    %0 = input : f32[]
    %1 = input : f32[]
    %2 = lt(%0, %1) : bool[]
    output "" = %2
  } graph "" {
    %0 = input : f32[]
    %1 = input : f32[]
    %2 = add(%0, %0) : f32[]
    output "" = %2
  } : f32[]
  output "y" = %2
}
)";

TEST(While, StopsAtTheConditionOrTheBound) {
  const Graph graph = test::ParseGraph(kWhile);
  ASSERT_EQ(graph.size(), 3);
  const auto from = [&](double x, double limit) {
    return ResultOf(graph, {{"x", F32Tensor({}, {x})}, {"limit", F32Tensor({}, {limit})}});
  };
  EXPECT_THAT(from(1, 10), ElementsAre(16));
  EXPECT_THAT(from(1, 1e9), ElementsAre(32));
  EXPECT_THAT(from(20, 10), ElementsAre(20));
}

TEST(While, MayHaveToEnd) {
  std::string text(kWhile);
  text.replace(text.find("false"), 5, "true");
  const Graph graph = test::ParseGraph(text);
  const TensorMap ends{{"x", F32Tensor({}, {1})}, {"limit", F32Tensor({}, {32})}};
  EXPECT_THAT(ResultOf(graph, ends), ElementsAre(32));
  const auto beyond = Evaluate(graph, {{"x", F32Tensor({}, {1})}, {"limit", F32Tensor({}, {33})}});
  EXPECT_EQ(beyond.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(Message(beyond.status())), HasSubstr("still holds after 5 iterations"));
}

// Carries a running sum scaled by a capture; stacks what it was before each step.
constexpr std::string_view kScan = R"(mir "scan" {
  symbol seq in [1, 64]
  %0 = input "start" : f32[2]
  %1 = input "factor" : f32[]
  %2 = input "xs" : f32[seq,2]
  %3 = scan(%0, %1, %2) {carries = 1, sequences = 1, length = [seq]} graph "" {
    %0 = input : f32[2]
    %1 = input : f32[]
    %2 = input : f32[2]
    %3 = mul(%0, %1) : f32[2]
    %4 = add(%3, %2) : f32[2]
    output "" = %4
    output "" = %0
  } : f32[2], f32[seq,2]
  output "last" = %3
  output "trajectory" = %3.1
}
)";

TEST(Scan, CarriesAndStacks) {
  const Graph graph = test::ParseGraph(kScan);
  ASSERT_EQ(graph.size(), 4);
  const auto bound = BindSymbols(graph, {{"seq", 3}});
  ASSERT_TRUE(bound.ok()) << Message(bound.status());
  const TensorMap inputs{{"start", F32Tensor({2}, {1, -1})},
                         {"factor", F32Tensor({}, {2})},
                         {"xs", F32Tensor({3, 2}, {1, 1, 2, 2, 3, 3})}};
  EXPECT_THAT(ResultOf(*bound, inputs, 0), ElementsAre(19, 3));
  EXPECT_THAT(ResultOf(*bound, inputs, 1), ElementsAre(1, -1, 3, -1, 8, 0));
}

constexpr std::string_view kCustom = R"(mir "custom" {
  %0 = input "x" : f32[2]
  %1 = custom(%0, %0) {name = "hypot2"} graph "" {
    %0 = input : f32[2]
    %1 = input : f32[2]
    %2 = mul(%0, %0) : f32[2]
    %3 = mul(%1, %1) : f32[2]
    %4 = add(%2, %3) : f32[2]
    output "" = %4
  } : f32[2]
  output "y" = %1
}
)";

TEST(Custom, IsWhatItsBodyIs) {
  const Graph graph = test::ParseGraph(kCustom);
  ASSERT_EQ(graph.size(), 2);
  const TensorMap inputs{{"x", F32Tensor({2}, {1, -3})}};
  EXPECT_THAT(ResultOf(graph, inputs), ElementsAre(2, 18));
  const auto parts = test::Decompose(graph, 1);
  ASSERT_TRUE(parts.ok()) << Message(parts.status());
  EXPECT_EQ(parts->size(), 4);
  EXPECT_THAT(ResultOf(*parts, inputs), ElementsAre(2, 18));
}

TEST(ControlFlow, TextRoundTrips) {
  for (std::string_view text : {kWhile, kScan, kCustom}) {
    const auto module = ParseModule(text);
    ASSERT_TRUE(module.ok()) << Message(module.status());
    EXPECT_EQ(Print(*module), text);
  }
}

// The text with `from` replaced, and why it is refused.
std::string WhyRefused(std::string_view text, std::string_view from, std::string_view to) {
  std::string spoiled(text);
  spoiled.replace(spoiled.find(from), from.size(), to);
  const auto module = ParseModule(spoiled);
  if (!module.ok()) return std::string(Message(module.status()));
  return std::string(Message(Verify(*module)));
}

TEST(ControlFlow, NamesWhatDoesNotFit) {
  EXPECT_THAT(WhyRefused(kWhile, "carries = 1", "carries = 3"), HasSubstr("2 operands for 3"));
  EXPECT_THAT(WhyRefused(kWhile, "%2 = lt(%0, %1) : bool[]", "%2 = add(%0, %1) : f32[]"),
              HasSubstr("the condition makes f32[]"));
  EXPECT_THAT(WhyRefused(kScan, "length = [seq]", "length = [4]"), HasSubstr("f32[4,2]"));
  EXPECT_THAT(WhyRefused(kScan, "sequences = 1", "sequences = 2"), HasSubstr("operand 1"));
}

}  // namespace
}  // namespace rlx
