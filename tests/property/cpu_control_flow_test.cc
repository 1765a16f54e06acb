// SPDX-License-Identifier: Apache-2.0
// What the op table's samples leave out, run on the CPU through the whole pipeline: nested graphs,
// and chains of complex numbers.
#include <gtest/gtest.h>

#include "backends/cpu/cpu_backend.h"
#include "runtime/base/text.h"
#include "runtime/ir/text.h"
#include "runtime/ir/tolerance.h"
#include "runtime/ir/verify.h"
#include "tests/support/graphs.h"
#include "tests/support/oracle.h"
#include "tests/support/run_on_backend.h"
#include "tests/support/same_results.h"

namespace rlx::test {
namespace {

void ExpectSame(std::string_view text, const DimBinding& binding = {}) {
  static const auto backend = cpu::MakeCpuBackend();
  static const auto runner = BackendRunner::Create(*backend, 2);
  ASSERT_TRUE(runner.ok()) << Cat(runner.status());
  const auto graph = BindSymbols(ParseGraph(text), binding);
  ASSERT_TRUE(graph.ok()) << Cat(graph.status());
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    const TensorMap inputs = RandomInputs(*graph, seed);
    const auto want = Evaluate(*graph, inputs);
    ASSERT_TRUE(want.ok()) << Cat(want.status());
    const auto got = runner->Run(*graph, inputs, {});
    ASSERT_TRUE(got.ok()) << Cat(got.status());
    ASSERT_EQ(got->size(), want->size());
    for (size_t i = 0; i < want->size(); ++i)
      EXPECT_TRUE(CompareToOracle((*got)[i], (*want)[i], {1e-5, 1e-5})) << "output " << i;
  }
}

TEST(CpuControlFlow, While) {
  ExpectSame(R"(mir "halve" {
  %0 = input "x" : f32[3,4]
  %1 = input "factor" : f32[]
  %2 = while(%0, %1) {carries = 1, max_iterations = 9} graph "" {
    %0 = input : f32[3,4]
    %1 = input : f32[]
    %2 = abs(%0) : f32[3,4]
    %3 = reduce_max(%2) {axes = [0,1], keep_dims = false} : f32[]
    %4 = constant {value = f32[] (0.1)} : f32[]
    %5 = lt(%4, %3) : bool[]
    output "" = %5
  } graph "" {
    %0 = input : f32[3,4]
    %1 = input : f32[]
    %2 = mul(%0, %1) : f32[3,4]
    %3 = constant {value = f32[] (0.5)} : f32[]
    %4 = mul(%2, %3) : f32[3,4]
    output "" = %4
  } : f32[3,4]
  output "y" = %2
}
)");
}

TEST(CpuControlFlow, ScanOverASymbolicSequence) {
  ExpectSame(R"(mir "scan" {
  symbol seq in [1, 64]
  %0 = input "start" : f32[2]
  %1 = input "w" : f32[2,2]
  %2 = input "xs" : f32[seq,2]
  %3 = scan(%0, %1, %2) {carries = 1, sequences = 1, length = [seq]} graph "" {
    %0 = input : f32[2]
    %1 = input : f32[2,2]
    %2 = input : f32[2]
    %3 = reshape(%0) {shape = [1,2]} : f32[1,2]
    %4 = matmul(%3, %1) : f32[1,2]
    %5 = reshape(%4) {shape = [2]} : f32[2]
    %6 = add(%5, %2) : f32[2]
    %7 = tanh(%6) : f32[2]
    output "" = %7
    output "" = %6
  } : f32[2], f32[seq,2]
  output "last" = %3
  output "trajectory" = %3.1
}
)",
             {{"seq", 7}});
}

TEST(CpuControlFlow, CustomHoldingAnIf) {
  ExpectSame(R"(mir "custom" {
  %0 = input "x" : f32[5]
  %1 = input "p" : bool[]
  %2 = custom(%0, %1) {name = "either"} graph "" {
    %0 = input : f32[5]
    %1 = input : bool[]
    %2 = if(%1, %0) graph "" {
      %0 = input : f32[5]
      %1 = exp(%0) : f32[5]
      output "" = %1
    } graph "" {
      %0 = input : f32[5]
      %1 = neg(%0) : f32[5]
      output "" = %1
    } : f32[5]
    output "" = %2
  } : f32[5]
  output "y" = %2
}
)");
}

TEST(CpuComplex, ArithmeticMovementAndTransforms) {
  ExpectSame(R"(mir "complex" {
  %0 = input "a" : c64[2,8]
  %1 = input "b" : c64[8]
  %2 = mul(%0, %1) : c64[2,8]
  %3 = fft(%2) {inverse = false, norm = "ortho"} : c64[2,8]
  %4 = transpose(%3) {perm = [1,0]} : c64[8,2]
  %5 = narrow(%4) {axis = 0, start = 1, length = 5} : c64[5,2]
  %6 = conjugate(%5) : c64[5,2]
  %7 = sub(%6, %5) : c64[5,2]
  %8 = exp(%7) : c64[5,2]
  %9 = complex_norm_sq(%8) : f32[5,2]
  %10 = sqrt(%5) : c64[5,2]
  %11 = concat(%8, %10) {axis = 1} : c64[5,4]
  %12 = imag(%11) : f32[5,4]
  output "norm" = %9
  output "all" = %11
  output "imag" = %12
}
)");
}

}  // namespace
}  // namespace rlx::test
