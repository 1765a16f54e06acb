// SPDX-License-Identifier: Apache-2.0
// What the op table's samples leave out, run on the CPU through the whole pipeline: nested graphs,
// and chains of complex numbers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "backends/cpu/cpu_backend.h"
#include "runtime/base/status.h"
#include "runtime/base/text.h"
#include "runtime/ir/text.h"
#include "runtime/ir/tolerance.h"
#include "runtime/ir/verify.h"
#include "runtime/stages/stages.h"
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

// Whatever is small would be written out.
CompileOptions Native() {
  CompileOptions options;
  options.kernel_dispatch.force_native_kinds = {{"If", "While", "Scan"}};
  return options;
}

struct Loaded {
  std::shared_ptr<const device::Program> program;
  std::shared_ptr<const device::Weights> weights;
  std::unique_ptr<device::ExecContext> context;
  std::vector<std::string> outputs;

  absl::Status Run(const std::vector<HostTensor>& inputs, const CancelToken& cancel = {},
                   std::vector<device::StepTime>* trace = nullptr) {
    std::vector<std::span<const uint8_t>> in;
    for (const HostTensor& tensor : inputs) in.push_back(tensor.bytes().span());
    std::vector<std::span<uint8_t>> out;
    for (std::string& bytes : outputs)
      out.emplace_back(reinterpret_cast<uint8_t*>(bytes.data()), bytes.size());
    return trace == nullptr ? context->Run(*weights, in, out, cancel)
                            : context->RunTraced(*weights, in, out, cancel, *trace);
  }
  double F32(size_t output, size_t element = 0) const {
    float value = 0;
    std::memcpy(&value, outputs[output].data() + 4 * element, 4);
    return value;
  }
};

absl::StatusOr<Loaded> Load(std::string_view text, const std::vector<HostTensor>& params = {},
                            CompileOptions options = Native()) {
  static const auto backend = cpu::MakeCpuBackend();
  static const auto runner = BackendRunner::Create(*backend, 2);
  RLX_TRY(runner.status());
  stages::CompileRequest request{.backend = backend.get(), .target = runner->target()};
  request.options = std::move(options);
  RLX_ASSIGN(const auto result, stages::CompileGraphStagesForBackend(ParseGraph(text), request));
  Loaded out{.program = result.program};
  RLX_ASSIGN(const auto executable, runner->device().Load(result.program));
  std::vector<SharedBytes> bytes;
  for (const HostTensor& param : params) bytes.push_back(param.bytes());
  RLX_ASSIGN(out.weights, executable->BindWeights(bytes, {}));
  RLX_ASSIGN(out.context, executable->NewContext());
  for (const device::TensorSpec& spec : result.program->outputs)
    out.outputs.emplace_back(static_cast<size_t>(*spec.type.ByteSize()), '\xA5');
  return out;
}

HostTensor F32(std::vector<int64_t> dims, const std::vector<double>& values) {
  return HostTensor::FromDoubles(DType::kF32, std::move(dims), values);
}

int CountSteps(const std::vector<device::Step>& steps, device::Step::Kind kind) {
  int count = 0;
  for (const device::Step& step : steps) {
    count += step.kind == kind ? 1 : 0;
    for (const auto& body : step.bodies) count += CountSteps(body, kind);
  }
  return count;
}

std::string Doubling(bool must_end) {
  return Cat(R"(mir "double" {
  %0 = input "x" : f32[]
  %1 = input "limit" : f32[]
  %2 = while(%0, %1) {carries = 1, max_iterations = 1000000000, must_end = )",
             must_end ? "true" : "false", R"(} graph "" {
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
)");
}

// A loop that would not end is ended by its caller, and the context is as good as before.
TEST(CpuControlFlow, AnEndlessLoopEndsWithItsDeadline) {
  auto loaded = Load(Doubling(false));
  ASSERT_TRUE(loaded.ok()) << Cat(loaded.status());
  const CancelToken soon({}, CancelToken::Clock::now() + std::chrono::milliseconds(50));
  EXPECT_EQ(loaded->Run({F32({}, {0}), F32({}, {1})}, soon).code(),
            absl::StatusCode::kDeadlineExceeded);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(loaded->Run({F32({}, {0}), F32({}, {1})}, CancelToken(stop.get_token())).code(),
            absl::StatusCode::kCancelled);
  for (double limit : {1.5, 3.0, 100.0}) {
    ASSERT_TRUE(loaded->Run({F32({}, {1}), F32({}, {limit})}).ok());
    EXPECT_EQ(loaded->F32(0), std::exp2(std::ceil(std::log2(limit))));
  }
}

TEST(CpuControlFlow, AWhileThatMustEndSaysSo) {
  std::string text = Doubling(true);
  text.replace(text.find("1000000000"), 10, "6");
  auto loaded = Load(text);
  ASSERT_TRUE(loaded.ok()) << Cat(loaded.status());
  const absl::Status status = loaded->Run({F32({}, {1}), F32({}, {65})});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              ::testing::HasSubstr("still holds after 6 iterations"));
  ASSERT_TRUE(loaded->Run({F32({}, {1}), F32({}, {64})}).ok());
  EXPECT_EQ(loaded->F32(0), 64);
}

std::string Cell(int64_t length, std::string_view weights) {
  return Cat(R"(mir "cell" {
  %0 = input "start" : f32[1,64]
  %1 = )",
             weights, R"( "w" : f32[64,64]
  %2 = input "xs" : f32[)",
             length, R"(,1,64]
  %3 = scan(%0, %1, %2) {carries = 1, sequences = 1, length = [)",
             length, R"(]} graph "" {
    %0 = input : f32[1,64]
    %1 = input : f32[64,64]
    %2 = input : f32[1,64]
    %3 = matmul(%0, %1) : f32[1,64]
    %4 = add(%3, %2) : f32[1,64]
    %5 = tanh(%4) : f32[1,64]
    output "" = %5
    output "" = %5
  } : f32[1,64], f32[)",
             length, R"(,1,64]
  output "last" = %3
  output "trajectory" = %3.1
}
)");
}

// As many steps and as much memory for 50,000 turns as for 500.
TEST(CpuControlFlow, AScanIsAsLargeAsItsBody) {
  const auto weights = F32({64, 64}, std::vector<double>(64 * 64, 0.01));
  const auto shorter = Load(Cell(500, "param"), {weights}),
             longer = Load(Cell(50'000, "param"), {weights});
  ASSERT_TRUE(shorter.ok() && longer.ok()) << Cat(longer.status());
  EXPECT_EQ(CountSteps(longer->program->steps, device::Step::Kind::kLoop), 1);
  for (const auto kind :
       {device::Step::Kind::kCall, device::Step::Kind::kLaunch, device::Step::Kind::kCopy}) {
    EXPECT_EQ(CountSteps(shorter->program->steps, kind), CountSteps(longer->program->steps, kind));
  }
  EXPECT_EQ(shorter->program->scratch_bytes, longer->program->scratch_bytes);
  // The weight is packed when it is bound, not in each turn.
  EXPECT_EQ(longer->program->weight_slots.size(), 1u);
}

TEST(CpuControlFlow, AScanOverWeightsAloneRunsWhenTheyAreBound) {
  auto loaded = Load(R"(mir "fixed" {
  %0 = param "start" : f32[4]
  %1 = param "xs" : f32[300,4]
  %2 = input "x" : f32[4]
  %3 = scan(%0, %1) {carries = 1, sequences = 1, length = [300]} graph "" {
    %0 = input : f32[4]
    %1 = input : f32[4]
    %2 = add(%0, %1) : f32[4]
    output "" = %2
  } : f32[4]
  %4 = mul(%3, %2) : f32[4]
  output "y" = %4
}
)",
                     {F32({4}, {1, 2, 3, 4}), F32({300, 4}, std::vector<double>(1200, 0.5))});
  ASSERT_TRUE(loaded.ok()) << Cat(loaded.status());
  EXPECT_EQ(CountSteps(loaded->program->steps, device::Step::Kind::kLoop), 0);
  EXPECT_EQ(CountSteps(loaded->program->weight_steps, device::Step::Kind::kLoop), 1);
  ASSERT_TRUE(loaded->Run({F32({4}, {1, 1, 1, 2})}).ok());
  EXPECT_EQ(loaded->F32(0, 0), 151);
  EXPECT_EQ(loaded->F32(0, 3), 308);
}

// What a trace shows of a loop does not grow with its turns.
TEST(CpuControlFlow, ATraceShowsTheFirstTurns) {
  auto loaded = Load(Cell(1000, "input"));
  ASSERT_TRUE(loaded.ok()) << Cat(loaded.status());
  std::vector<device::StepTime> trace;
  const std::vector<HostTensor> inputs = {F32({1, 64}, std::vector<double>(64, 1)),
                                          F32({64, 64}, std::vector<double>(64 * 64, 0.01)),
                                          F32({1000, 1, 64}, std::vector<double>(64'000, 0.1))};
  ASSERT_TRUE(loaded->Run(inputs, {}, &trace).ok());
  EXPECT_GT(trace.size(), 4u);
  EXPECT_LT(trace.size(), 40u);
  const double last = loaded->F32(0);
  ASSERT_TRUE(loaded->Run(inputs).ok());
  EXPECT_EQ(loaded->F32(0), last);
}

// A target without control flow: all is written out.
CompileOptions WithoutControlFlow() {
  const auto backend = cpu::MakeCpuBackend();
  const std::vector<std::string> claims = backend->ClaimedKinds(backend->Targets().front());
  CompileOptions options;
  options.supported_ops.emplace(claims.begin(), claims.end());
  for (const char* kind : {"If", "While", "Scan"})
    EXPECT_EQ(options.supported_ops->erase(kind), 1u);
  return options;
}

HostTensor I64(std::vector<int64_t> dims, int64_t value) {
  return HostTensor::FromInts(DType::kI64, std::move(dims), std::vector<int64_t>{value});
}

// Of an `if` the branch that is not taken may be impossible.
TEST(CpuControlFlow, TheOtherBranchFailsNothing) {
  for (const CompileOptions& options : {CompileOptions(), WithoutControlFlow()}) {
    auto loaded = Load(R"(mir "either" {
  %0 = input "p" : bool[]
  %1 = input "table" : f32[4]
  %2 = input "index" : i64[1]
  %3 = if(%0, %1, %2) graph "" {
    %0 = input : f32[4]
    %1 = input : i64[1]
    %2 = gather(%0, %1) : f32[1]
    output "" = %2
  } graph "" {
    %0 = input : f32[4]
    %1 = input : i64[1]
    %2 = constant {value = f32[1] (7)} : f32[1]
    output "" = %2
  } : f32[1]
  output "y" = %3
}
)",
                       {}, options);
    ASSERT_TRUE(loaded.ok()) << Cat(loaded.status());
    EXPECT_EQ(CountSteps(loaded->program->steps, device::Step::Kind::kBranch),
              options.supported_ops ? 0 : 1);
    const auto run = [&](int64_t p, int64_t index) {
      return loaded->Run({HostTensor::FromInts(DType::kBool, {}, std::vector<int64_t>{p}),
                          F32({4}, {1, 2, 3, 4}), I64({1}, index)});
    };
    ASSERT_TRUE(run(1, 2).ok());
    EXPECT_EQ(loaded->F32(0), 3);
    for (const int64_t index : {99, -1}) {
      ASSERT_TRUE(run(0, index).ok()) << run(0, index);
      EXPECT_EQ(loaded->F32(0), 7);
      EXPECT_EQ(run(1, index).code(), absl::StatusCode::kInvalidArgument);
    }
  }
}

// A loop may end where its table does: turns behind the end are not run, whoever writes them out.
TEST(CpuControlFlow, TurnsBehindTheEndFailNothing) {
  for (const CompileOptions& options : {Native(), WithoutControlFlow()}) {
    auto loaded = Load(R"(mir "sum" {
  %0 = input "sum" : f32[1]
  %1 = input "i" : i64[1]
  %2 = input "n" : i64[1]
  %3 = input "table" : f32[4]
  %4 = while(%0, %1, %2, %3) {carries = 2, max_iterations = 8} graph "" {
    %0 = input : f32[1]
    %1 = input : i64[1]
    %2 = input : i64[1]
    %3 = input : f32[4]
    %4 = lt(%1, %2)
    %5 = reshape(%4) {shape = []}
    output "" = %5
  } graph "" {
    %0 = input : f32[1]
    %1 = input : i64[1]
    %2 = input : i64[1]
    %3 = input : f32[4]
    %4 = gather(%3, %1)
    %5 = add(%0, %4)
    %6 = constant {value = i64[1] (1)}
    %7 = add(%1, %6)
    output "" = %5
    output "" = %7
  }
  output "y" = %4
}
)",
                       {}, options);
    ASSERT_TRUE(loaded.ok()) << Cat(loaded.status());
    const auto run = [&](int64_t from, int64_t to) {
      return loaded->Run({F32({1}, {0}), I64({1}, from), I64({1}, to), F32({4}, {1, 2, 3, 4})});
    };
    ASSERT_TRUE(run(0, 4).ok()) << run(0, 4);
    EXPECT_EQ(loaded->F32(0), 10);
    ASSERT_TRUE(run(2, 3).ok());
    EXPECT_EQ(loaded->F32(0), 3);
    ASSERT_TRUE(run(9, 3).ok());
    EXPECT_EQ(loaded->F32(0), 0);
    EXPECT_EQ(run(0, 5).code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(run(-1, 2).code(), absl::StatusCode::kInvalidArgument);
  }
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

// What is carried, cut into slices and stacked is eight bytes wide.
TEST(CpuComplex, LoopsCarryIt) {
  ExpectSame(R"(mir "loop" {
  %0 = input "h" : c64[3]
  %1 = input "turn" : c64[]
  %2 = input "xs" : c64[30,3]
  %3 = scan(%0, %1, %2) {carries = 1, sequences = 1, length = [30]} graph "" {
    %0 = input "" : c64[3]
    %1 = input "" : c64[]
    %2 = input "" : c64[3]
    %3 = mul(%0, %1)
    %4 = add(%3, %2)
    %5 = conjugate(%4)
    output "h" = %4
    output "y" = %5
  }
  output "h" = %3.0
  output "ys" = %3.1
}
)");
}

}  // namespace
}  // namespace rlx::test
