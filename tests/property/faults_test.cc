// SPDX-License-Identifier: Apache-2.0
// Faults of the system whose vocabulary this one follows, by their rows in its list of weaknesses,
// compiled and run on the CPU: each test fails where a kernel shares the fault.
#include <gtest/gtest.h>

#include "runtime/base/text.h"
#include "runtime/ir/text.h"
#include "runtime/ir/tolerance.h"
#include "runtime/stages/stages.h"
#include "tests/property/cpu_runner.h"
#include "tests/support/graphs.h"
#include "tests/support/oracle.h"
#include "tests/support/same_results.h"

namespace rlx::test {
namespace {

// Fused or not, the module computes what the oracle does.
void ExpectOracle(std::string_view text) {
  SCOPED_TRACE(text);
  const Graph graph = ParseGraph(text);
  for (const bool fused : {true, false}) {
    CompileOptions options;
    options.fusion.skip_fusion = !fused;
    const TensorMap inputs = RandomInputs(graph, 11);
    const auto want = Evaluate(graph, inputs);
    const auto got = CpuRunner().Run(graph, inputs, options);
    ASSERT_TRUE(want.ok() && got.ok()) << Cat(got.status());
    for (size_t i = 0; i < want->size(); ++i) {
      EXPECT_TRUE(CompareToOracle((*got)[i], (*want)[i], ToleranceOf(graph))) << "output " << i;
    }
  }
}

// Row 7: what nobody lowers becomes a step that does nothing. Here it is refused, and named.
TEST(Faults, Row7NothingIsSkippedSilently) {
  ExpectOracle(R"(mir "m" {
    %0 = input "a" : f32[2,3,4]
    %1 = input "b" : f32[4,2,3]
    %2 = dot_general(%0, %1) {lhs_contracting = [1], rhs_contracting = [2],
                              lhs_batch = [2], rhs_batch = [0]}
    %3 = reduce_sum(%0) {axes = [0,2]}
    output "y" = %2
    output "z" = %3
  })");
  const Graph graph = ParseGraph(R"(mir "m" {
    %0 = input "x" : f32[2]
    %1 = exp(%0)
    output "y" = %1
  })");
  stages::CompileRequest request{.backend = &CpuRunner().backend(),
                                 .target = CpuRunner().backend().Targets()[0]};
  request.options.supported_ops = std::set<std::string>{"MatMul"};
  const auto result = stages::CompileGraphStagesForBackend(graph, request);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnimplemented);
}

// Row 8: an index out of range is an error of the run, not a read somewhere.
TEST(Faults, Row8IndicesAreChecked) {
  const Graph graph = ParseGraph(R"(mir "m" {
    %0 = param "table" : f32[3,2]
    %1 = input "ids" : i64[2]
    %2 = gather(%0, %1)
    output "y" = %2
  })");
  TensorMap inputs = RandomInputs(graph, 1);
  for (const int64_t bad : {int64_t{3}, int64_t{-1}, int64_t{1} << 40}) {
    const std::vector<int64_t> ids = {0, bad};
    inputs["ids"] = HostTensor::FromInts(DType::kI64, {2}, ids);
    EXPECT_EQ(CpuRunner().Run(graph, inputs).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

// The same for the others that index, as they are native and as their common form is.
TEST(Faults, Row8IndicesAreCheckedInEveryForm) {
  const std::pair<std::string_view, std::string_view> modules[] = {
      {"ScatterAdd",
       "%0 = input \"u\" : f32[2,3] %1 = input \"ids\" : i32[2] %2 = scatter_add(%0, %1) {rows = "
       "[5]}"},
      {"GroupedMatMul",
       "%0 = input \"x\" : f32[2,4] %1 = input \"ids\" : i32[2] %2 = param \"w\" : f32[5,4,3] "
       "%3 = grouped_matmul(%0, %2, %1)"}};
  for (const auto& [kind, body] : modules) {
    SCOPED_TRACE(kind);
    const std::string_view last = kind == "ScatterAdd" ? "%2" : "%3";
    const Graph graph = ParseGraph(Cat("mir \"m\" { ", body, " output \"y\" = ", last, " }"));
    TensorMap inputs = RandomInputs(graph, 1);
    for (const int64_t index : {4, 5, -1, 1 << 30}) {
      inputs["ids"] = HostTensor::FromInts(DType::kI32, {2}, std::vector<int64_t>{0, index});
      for (const bool common : {false, true}) {
        CompileOptions options;
        if (common)
          options.kernel_dispatch.force_common_kinds = std::set<std::string>{std::string(kind)};
        const absl::Status status = CpuRunner().Run(graph, inputs, options).status();
        EXPECT_EQ(status.ok(), index == 4) << status << common;
        if (status.ok()) continue;
        EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
        EXPECT_NE(status.ToString().find(Cat("index ", index)), std::string::npos) << status;
        EXPECT_NE(status.ToString().find("not in [0, 5)"), std::string::npos) << status;
      }
    }
  }
}

std::string Attention(std::string_view q, std::string_view k, std::string_view attrs,
                      std::string_view mask = "") {
  return Cat("mir \"m\" { %0 = input \"q\" : f32", q, " %1 = input \"k\" : f32", k,
             " %2 = input \"v\" : f32", k, mask.empty() ? "" : " %3 = input \"mask\" : ", mask,
             mask.empty() ? " %3 = attention(%0, %1, %2) {" : " %4 = attention(%0, %1, %2, %3) {",
             attrs, "} output \"y\" = ", mask.empty() ? "%3 }" : "%4 }");
}

// 10.3: top-left alignment hides the past from a decoder's step.
TEST(Faults, ParityCausalMasksAlignTheLastRows) {
  ExpectOracle(Attention("[1,1,8]", "[1,5,8]", "num_heads = 2, head_dim = 4, mask = \"causal\""));
  ExpectOracle(Attention("[2,3,8]", "[2,7,8]",
                         "num_heads = 2, head_dim = 4, mask = \"sliding_window\", window = 2"));
  // One query over three keys sees all of them: with equal keys the result is the mean of v.
  const Graph graph =
      ParseGraph(Attention("[1,1,2]", "[1,3,2]", "num_heads = 1, head_dim = 2, mask = \"causal\""));
  const std::vector<double> query(2), keys(6), v = {1, 2, 3, 4, 5, 9};
  const auto got =
      CpuRunner().Run(graph, {{"q", HostTensor::FromDoubles(DType::kF32, {1, 1, 2}, query)},
                              {"k", HostTensor::FromDoubles(DType::kF32, {1, 3, 2}, keys)},
                              {"v", HostTensor::FromDoubles(DType::kF32, {1, 3, 2}, v)}});
  ASSERT_TRUE(got.ok());
  EXPECT_NEAR((*got)[0].ToDoubles()[0], 3, 1e-6);
  EXPECT_NEAR((*got)[0].ToDoubles()[1], 5, 1e-6);
}

// 10.3: short sequences lose causality once the block is fused.
TEST(Faults, ParityShortBlocksStayCausal) {
  ExpectOracle(R"(mir "m" {
    %0 = input "x" : f32[2,5,8]
    %1 = param "q" : f32[8,8]
    %2 = param "k" : f32[8,8]
    %3 = param "v" : f32[8,8]
    %4 = param "o" : f32[8,8]
    %5 = matmul(%0, %1)
    %6 = matmul(%0, %2)
    %7 = matmul(%0, %3)
    %8 = attention(%5, %6, %7) {num_heads = 2, head_dim = 4, mask = "causal"}
    %9 = matmul(%8, %4)
    output "y" = %9
  })");
}

// 10.3: keep and additive masks confused, bias ignored, masks of one batch for all.
TEST(Faults, ParityMasksMeanWhatTheirTypeSays) {
  ExpectOracle(
      Attention("[2,3,8]", "[2,4,8]", "num_heads = 2, head_dim = 4, mask = \"keep\"", "bool[2,4]"));
  ExpectOracle(Attention("[2,3,8]", "[2,4,8]", "num_heads = 2, head_dim = 4, mask = \"keep\"",
                         "bool[2,1,3,4]"));
  ExpectOracle(Attention("[2,3,8]", "[2,4,8]", "num_heads = 2, head_dim = 4, mask = \"bias\"",
                         "f32[1,2,3,4]"));
  ExpectOracle(Attention("[2,2,3,4]", "[2,2,4,4]", "num_heads = 2, head_dim = 4, mask = \"bias\"",
                         "f32[3,4]"));
}

// 10.3: heads wider than 128 return without a result; grouped heads copied or mixed up.
TEST(Faults, ParityHeadsOfAnyWidthAndNumber) {
  ExpectOracle(Attention("[1,3,160]", "[1,3,160]", "num_heads = 1, head_dim = 160"));
  ExpectOracle(Attention("[1,3,24]", "[1,3,8]",
                         "num_heads = 6, num_kv_heads = 2, head_dim = 4, softcap = 0.5, "
                         "scale = 2.0"));
}

// 10.3: n_rot ignored, rank 4 read as rank 3, positions ignored.
TEST(Faults, ParityRopeRotatesWhatItIsTold) {
  ExpectOracle(R"(mir "m" {
    %0 = input "x" : f32[2,3,2,8]
    %1 = input "y" : f32[2,3,16]
    %2 = param "cos" : f32[5,2]
    %3 = param "sin" : f32[5,2]
    %4 = input "at" : i64[2,3]
    %5 = transpose(%0) {perm = [0,2,1,3]}
    %6 = rope(%5, %2, %3) {head_dim = 8, n_rot = 4}
    %7 = rope(%1, %2, %3, %4) {head_dim = 8, n_rot = 4}
    output "a" = %6
    output "b" = %7
  })");
}

// 10.3: rms_norm without its beta, softmax over the last axis whatever it is asked for, one batch's
// offsets for all, comparisons as wide as floats, products of unequal batches, casts that copy
// bits.
TEST(Faults, ParityPlainKernels) {
  ExpectOracle(R"(mir "m" {
    %0 = input "x" : f32[2,3,4]
    %1 = param "g" : f32[4]
    %2 = param "b" : f32[4]
    %3 = rms_norm(%0, %1, %2)
    %4 = softmax(%0) {axis = 1}
    %5 = lt(%0, %3)
    %6 = input "w" : f32[1,4,5]
    %7 = matmul(%0, %6)
    %8 = cast(%0) {to = f16}
    %9 = cast(%8) {to = f32}
    %10 = cast(%0) {to = i32}
    %11 = gelu(%0)
    %12 = gelu_tanh(%0)
    output "norm" = %3
    output "softmax" = %4
    output "less" = %5
    output "product" = %7
    output "half" = %9
    output "whole" = %10
    output "gelu" = %11
    output "gelu_tanh" = %12
  })");
}

// 10.3: offsets of the first image for all of a batch. Row 13: a resize that tiles the image.
TEST(Faults, ParityImagesOfABatchAreEachTheirOwn) {
  const Graph graph = ParseGraph(R"(mir "m" {
    %0 = input "x" : f32[3,4,2,3]
    %1 = param "g" : f32[4]
    %2 = param "b" : f32[4]
    %3 = group_norm(%0, %1, %2) {num_groups = 2, eps = 1e-3}
    %4 = layer_norm2d(%0, %1, %2) {eps = 1e-3}
    %5 = resize_nearest2x(%0)
    %6 = input "tokens" : f32[3,6,8]
    %7 = axial_rope2d(%6) {end_x = 3, end_y = 2, head_dim = 4, num_heads = 2, theta = 100.0}
    output "group" = %3
    output "layer" = %4
    output "twice" = %5
    output "turned" = %7
  })");
  ExpectOracle(Print({Stage::kMir, FusionPolicy::kDirect, graph}));
  const auto got = CpuRunner().Run(graph, RandomInputs(graph, 3));
  ASSERT_TRUE(got.ok()) << Cat(got.status());
  const std::vector<double> in = RandomInputs(graph, 3).at("x").ToDoubles();
  const std::vector<double> twice = (*got)[2].ToDoubles();
  for (int64_t plane = 0; plane < 12; ++plane) {
    for (int64_t row = 0; row < 4; ++row) {
      for (int64_t column = 0; column < 6; ++column) {
        EXPECT_EQ(twice[(plane * 4 + row) * 6 + column],
                  in[(plane * 2 + row / 2) * 3 + column / 2]);
      }
    }
  }
}

// 10.3: sampling spoils its logits, every back end draws from another generator, and seed 0 is one
// constant. Here it is the published generator at the seed, 0 like any other.
TEST(Faults, ParitySamplingDrawsFromPhiloxAndKeepsItsLogits) {
  const Graph graph = ParseGraph(R"(mir "m" {
    %0 = input "x" : f32[4,50]
    %1 = tanh(%0)
    %2 = sample(%1) {top_k = 20, top_p = 0.9, temperature = 0.7, seed = 0}
    %3 = sample(%1) {top_k = 20, top_p = 0.9, temperature = 0.7, seed = 1}
    %4 = exp(%1)
    output "logits" = %1
    output "zero" = %2
    output "one" = %3
    output "after" = %4
  })");
  bool differ = false;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const TensorMap inputs = RandomInputs(graph, seed);
    const auto want = Evaluate(graph, inputs);
    const auto got = CpuRunner().Run(graph, inputs), again = CpuRunner().Run(graph, inputs);
    ASSERT_TRUE(want.ok() && got.ok() && again.ok()) << Cat(got.status());
    for (size_t i = 0; i < want->size(); ++i) {
      EXPECT_TRUE(CompareToOracle((*got)[i], (*want)[i], ToleranceOf(graph))) << "output " << i;
    }
    EXPECT_EQ((*got)[1].ToInts(), (*again)[1].ToInts());
    differ |= (*got)[1].ToInts() != (*got)[2].ToInts();
  }
  EXPECT_TRUE(differ);
}

// The two gelus differ where they should.
TEST(Faults, ParityGelusAreTwoFunctions) {
  const Graph graph = ParseGraph(R"(mir "m" {
    %0 = input "x" : f32[1]
    %1 = gelu(%0)
    %2 = gelu_tanh(%0)
    output "erf" = %1
    output "tanh" = %2
  })");
  const std::vector<double> x = {2.0};
  const auto got = CpuRunner().Run(graph, {{"x", HostTensor::FromDoubles(DType::kF32, {1}, x)}});
  ASSERT_TRUE(got.ok());
  EXPECT_NEAR((*got)[0].ToDoubles()[0], 1.9544997, 1e-6);
  EXPECT_NEAR((*got)[1].ToDoubles()[0], 1.9545977, 1e-6);
}

// Row 12 again, through the whole compiler: score scale and cap survive every path.
TEST(Faults, Row12ScaleAndCapSurviveEveryPath) {
  for (const bool common : {false, true}) {
    const Graph graph = ParseGraph(Attention(
        "[1,3,8]", "[1,3,8]", "num_heads = 2, head_dim = 4, scale = 3.0, softcap = 0.25"));
    CompileOptions options;
    if (common) options.kernel_dispatch.policy = DispatchPolicy::kForceCommon;
    const TensorMap inputs = RandomInputs(graph, 5);
    const auto want = Evaluate(graph, inputs);
    const auto got = CpuRunner().Run(graph, inputs, options);
    ASSERT_TRUE(want.ok() && got.ok()) << Cat(got.status());
    EXPECT_TRUE(CompareToOracle((*got)[0], (*want)[0], ToleranceOf(graph)));
  }
}

// Row 15 through the whole compiler: narrowing changes results by rounding alone. Neither of the
// narrow types has the indices, which in them would choose other rows.
TEST(Faults, Row15NarrowingOnlyRounds) {
  const Graph graph = ParseGraph(R"(mir "m" {
    %0 = input "ids" : i64[3]
    %1 = param "table" : f32[3000,8]
    %2 = param "w" : f32[8,8]
    %3 = gather(%1, %0)
    %4 = matmul(%3, %2)
    %5 = gelu(%4)
    %6 = softmax(%5)
    output "y" = %6
  })");
  for (const auto kind : {PrecisionPolicyKind::kAlwaysF16, PrecisionPolicyKind::kAutoMixedBf16,
                          PrecisionPolicyKind::kAutoMixedConservative}) {
    CompileOptions options;
    options.policy = PrecisionPolicy{kind, {}};
    TensorMap inputs = RandomInputs(graph, 5);
    inputs["ids"] = HostTensor::FromInts(DType::kI64, {3}, std::vector<int64_t>{2049, 2999, 257});
    const auto want = Evaluate(graph, inputs);
    const auto got = CpuRunner().Run(graph, inputs, options);
    ASSERT_TRUE(want.ok() && got.ok()) << Cat(got.status());
    const Tolerance tolerance =
        kind == PrecisionPolicyKind::kAutoMixedBf16 ? Tolerance{0, 0.05} : Tolerance{0, 0.01};
    EXPECT_TRUE(CompareToOracle((*got)[0], (*want)[0], tolerance));
  }
}

}  // namespace
}  // namespace rlx::test
