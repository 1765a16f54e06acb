// SPDX-License-Identifier: Apache-2.0
// Floats made of integers are whole under every policy: positions, and the angles made of them.
#include <gtest/gtest.h>

#include <cmath>

#include "runtime/base/text.h"
#include "runtime/stages/stages.h"
#include "tests/support/oracle.h"
#include "tests/support/same_results.h"
#include "tests/unit/stages/models.h"

namespace rlx::stages {
namespace {

using enum PrecisionPolicyKind;

const std::vector<PrecisionPolicy>& Policies() {
  static const std::vector<PrecisionPolicy> policies = {
      {kAlwaysF32, {}},
      {kAlwaysF16, {}},
      {kAutoMixedConservative, {}},
      {kAutoMixed, {}},
      {kAutoMixedBf16, {}},
      {kCustom,
       {{"compute", Precision::kBF16},
        {"reduction", Precision::kBF16},
        {"elementwise", Precision::kBF16},
        {"data_movement", Precision::kBF16},
        {"boundary", Precision::kBF16}}},
  };
  return policies;
}

Graph Optimized(const Graph& graph, const PrecisionPolicy& policy, bool native_loops = false) {
  CompileRequest request{.until = Stage::kLir};
  request.options.policy = policy;
  if (native_loops) request.options.kernel_dispatch.force_native_kinds = {{"Scan"}};
  const auto result = CompileGraphStages(graph, request);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? result->lir.graph : Graph{};
}

// Eight positions from the given one on, and other inputs as they come.
TensorMap InputsFrom(const Graph& graph, int64_t position) {
  TensorMap inputs = test::RandomInputs(graph, 7);
  std::vector<int64_t> positions;
  for (int64_t i = 0; i < 8; ++i) positions.push_back(position + i);
  inputs["positions"] = HostTensor::FromInts(DType::kI64, {1, 8}, positions);
  if (inputs.count("inverse") > 0) {
    std::vector<double> inverse;
    for (int i = 0; i < 8; ++i) inverse.push_back(std::pow(10000.0, -i / 8.0));
    inputs["inverse"] = HostTensor::FromDoubles(DType::kF32, {1, 1, 8}, inverse);
  }
  return inputs;
}

void ExpectRoundedOnly(const std::string& text, bool native_loops = false) {
  SCOPED_TRACE(text);
  const Graph before = ParseOrFail(text).graph;
  for (const PrecisionPolicy& policy : Policies()) {
    const Graph after = Optimized(before, policy, native_loops);
    for (const int64_t position : {0, 200, 1000, 4000}) {
      SCOPED_TRACE(Cat("policy ", static_cast<int>(policy.kind), " at ", position));
      const TensorMap inputs = InputsFrom(before, position);
      const auto want = Evaluate(before, inputs), got = Evaluate(after, inputs);
      ASSERT_TRUE(want.ok() && got.ok()) << Cat(got.status());
      EXPECT_TRUE(test::CompareToOracle((*got)[0], (*want)[0], {0.01, 0.05})) << Print(after);
    }
  }
}

// As exporters write it: positions as numbers, times inverse frequencies, twice side by side.
TEST(Counts, RopeIsAsInF32) {
  constexpr std::string_view kRope = R"(mir "rope" {
    %0 = input "positions" : i64[1,8]
    %1 = INVERSE "inverse" : f32[1,1,8]
    %2 = input "q" : f32[1,2,8,16]
    %3 = cast(%0) {to = f32}
    %4 = reshape(%3) {shape = [1,8,1]}
    %5 = PRODUCT
    %6 = concat(%5, %5) {axis = 2}
    %7 = cos(%6)
    %8 = sin(%6)
    %9 = reshape(%7) {shape = [1,1,8,16]}
    %10 = reshape(%8) {shape = [1,1,8,16]}
    %11 = narrow(%2) {axis = 3, start = 8, length = 8}
    %12 = neg(%11)
    %13 = narrow(%2) {axis = 3, start = 0, length = 8}
    %14 = concat(%12, %13) {axis = 3}
    %15 = mul(%2, %9)
    %16 = mul(%14, %10)
    %17 = add(%15, %16)
    output "y" = %17
  })";
  for (const std::string_view inverse : {"param", "input"}) {
    for (const std::string_view product : {"matmul(%4, %1)", "mul(%4, %1)", "mul(%1, %4)"}) {
      std::string text(kRope);
      text.replace(text.find("INVERSE"), 7, inverse);
      text.replace(text.find("PRODUCT"), 7, product);
      ExpectRoundedOnly(text);
    }
  }
}

// In the body of a loop, from positions that it captures and from a count that it carries.
TEST(Counts, HoldInBodies) {
  ExpectRoundedOnly(R"(mir "m" {
    %0 = input "positions" : i64[1,8]
    %1 = param "inverse" : f32[1,1,8]
    %2 = input "q" : f32[3,8,8]
    %3 = cast(%0) {to = f32}
    %4 = reshape(%3) {shape = [8,1]}
    %5 = constant {value = f32[8,1] (0, 0, 0, 0, 0, 0, 0, 0)}
    %6 = scan(%5, %4, %1, %2) {carries = 1, sequences = 1, length = [3]} graph "" {
      %0 = input "sum" : f32[8,1]
      %1 = input "positions" : f32[8,1]
      %2 = input "inverse" : f32[1,1,8]
      %3 = input "q" : f32[8,8]
      %4 = add(%0, %1)
      %5 = reshape(%2) {shape = [1,8]}
      %6 = matmul(%4, %5)
      %7 = cos(%6)
      %8 = mul(%3, %7)
      output "sum" = %4
      output "y" = %8
    }
    output "y" = %6.1
  })",
                    /*native_loops=*/true);
}

// 70001 is inf in f16 and 70144 in bf16.
TEST(Counts, AreNotRounded) {
  const Graph before = ParseOrFail(R"(mir "m" {
    %0 = input "n" : i64[4]
    %1 = constant {value = f32[] (1)}
    %2 = cast(%0) {to = f32}
    %3 = add(%2, %1)
    output "y" = %3
  })")
                           .graph;
  const TensorMap inputs = {
      {"n", HostTensor::FromInts(DType::kI64, {4}, std::vector<int64_t>{70000, 70001, 257, -3})}};
  for (const PrecisionPolicy& policy : Policies()) {
    const auto got = Evaluate(Optimized(before, policy), inputs);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ((*got)[0].f, (std::vector<double>{70001, 70002, 258, -2}));
  }
}

}  // namespace
}  // namespace rlx::stages
