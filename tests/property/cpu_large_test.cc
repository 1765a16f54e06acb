// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <thread>

#include "runtime/base/text.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/tolerance.h"
#include "runtime/stages/stages.h"
#include "tests/property/cpu_runner.h"
#include "tests/support/oracle.h"
#include "tests/support/same_results.h"

// Graphs of thousands of nodes that fusion makes one region of, and nodes of thousands of operands:
// what the code generator takes in pieces.
namespace rlx::test {
namespace {

void ExpectSame(const Graph& graph, double tolerance) {
  const TensorMap inputs = RandomInputs(graph, 1);
  const auto want = Evaluate(graph, inputs);
  ASSERT_TRUE(want.ok()) << Cat(want.status());
  const auto got = CpuRunner().Run(graph, inputs);
  ASSERT_TRUE(got.ok()) << Cat(got.status());
  ASSERT_EQ(got->size(), want->size());
  for (size_t i = 0; i < want->size(); ++i) {
    EXPECT_TRUE(CompareToOracle((*got)[i], (*want)[i], {tolerance, tolerance})) << "output " << i;
  }
}

// How many kernels run; all of them of bounded size.
size_t Launches(const Graph& graph) {
  stages::CompileRequest request{.backend = &CpuRunner().backend(),
                                 .target = CpuRunner().backend().Targets()[0]};
  const auto result = stages::CompileGraphStages(graph, request);
  EXPECT_TRUE(result.ok()) << Cat(result.status());
  return result.ok() ? result->program->steps.size() : 0;
}

TensorType Row(DType dtype) { return {dtype, {Dim(3), Dim(37)}}; }

Value Next(GraphBuilder& b, uint32_t& state, const std::vector<Value>& values, size_t window) {
  const auto draw = [&](uint32_t below) {
    state = state * 1664525 + 1013904223;
    return (state >> 8) % below;
  };
  const auto pick = [&] {
    const auto span = static_cast<uint32_t>(std::min(window, values.size()));
    return values[values.size() - 1 - draw(span)];
  };
  switch (draw(24)) {
    case 0:
      return b.Unary(OpKind::kSin, pick());
    case 1:
      return b.Unary(OpKind::kSigmoid, pick());
    case 2:
    case 3:
    case 4:
      return b.Sub(pick(), pick());
    case 5:
    case 6:
    case 7:
      return b.Mul(pick(), b.Scalar(b.type(values[0]).dtype, 0.75));
    case 8:
    case 9:
    case 10:
    case 11:
      return b.Max(pick(), values[draw(2)]);
    default:
      return b.Emit(OpKind::kMin, {pick(), values[draw(2)]});
  }
}

// `window` 1 is a chain; more keeps that many values alive. Bounded throughout: tanh stands between
// differences.
Graph Woven(int nodes, size_t window, DType dtype, int outputs = 1) {
  Graph graph;
  GraphBuilder b(graph);
  std::vector<Value> values = {b.Input("x", Row(dtype)), b.Input("y", Row(dtype))};
  uint32_t state = 7;
  for (int n = 0; n < nodes; ++n) {
    const Value next = Next(b, state, values, window);
    values.push_back(n % 16 == 15 ? b.Unary(OpKind::kTanh, next) : next);
  }
  for (int o = 0; o < outputs; ++o) {
    b.Output(Cat("out", o), values[values.size() - 1 - static_cast<size_t>(o * nodes / 9)]);
  }
  EXPECT_TRUE(b.status().ok()) << Cat(b.status());
  return graph;
}

TEST(LargeRegion, ChainsAgreeWithTheOracle) {
  EXPECT_GT(Launches(Woven(2000, 1, DType::kF32)), 1U);
  for (int nodes : {2000, 5000}) ExpectSame(Woven(nodes, 1, DType::kF32), 2e-3);
}

TEST(LargeRegion, ManyLiveValuesAgreeWithTheOracle) {
  ExpectSame(Woven(2000, 24, DType::kF32), 2e-3);
  ExpectSame(Woven(2000, 300, DType::kF32), 2e-3);
}

TEST(LargeRegion, ResultsThatLaterPiecesReadAgreeWithTheOracle) {
  ExpectSame(Woven(2500, 4, DType::kF32, 8), 2e-3);
}

TEST(LargeRegion, DoublesAgreeWithTheOracle) { ExpectSame(Woven(600, 8, DType::kF64), 1e-9); }

// What waits between pieces is not rounded to 16 bits.
TEST(LargeRegion, HalvesAgreeWithTheOracle) { ExpectSame(Woven(600, 8, DType::kF16, 3), 2e-2); }

TEST(LargeRegion, BalancedTreesAgreeWithTheOracle) {
  for (int leaves : {1000, 2500}) {
    Graph graph;
    GraphBuilder b(graph);
    const Value x = b.Input("x", Row(DType::kF32)), y = b.Input("y", Row(DType::kF32));
    std::vector<Value> level;
    for (int n = 0; n < leaves; ++n) {
      level.push_back(b.Mul(n % 3 == 0 ? x : y, b.Scalar(DType::kF32, 1.0 / (n + 1))));
    }
    for (; level.size() > 1; level.resize((level.size() + 1) / 2)) {
      for (size_t i = 0; i < level.size() / 2; ++i) {
        level[i] = b.Add(level[2 * i], level[2 * i + 1]);
      }
      if (level.size() % 2 == 1) level[level.size() / 2] = level.back();
    }
    b.Output("out", level[0]);
    ExpectSame(graph, 1e-5);
  }
}

TEST(LargeRegion, SumsOfManyInputsAgreeWithTheOracle) {
  Graph graph;
  GraphBuilder b(graph);
  Value sum = b.Input("x", Row(DType::kF32));
  for (int n = 0; n < 500; ++n) {
    // Some broadcast.
    const Shape shape = n % 5 == 0 ? Shape{Dim(37)} : Row(DType::kF32).shape;
    sum = b.Add(sum, b.Input(Cat("x", n), {DType::kF32, shape}));
  }
  b.Output("out", sum);
  ExpectSame(graph, 1e-4);
}

Graph Concatenation(int operands, int64_t axis, bool ragged, DType dtype) {
  Graph graph;
  GraphBuilder b(graph);
  std::vector<Value> parts;
  for (int n = 0; n < operands; ++n) {
    Shape shape = {Dim(3), Dim(4), Dim(2)};
    if (ragged) shape[static_cast<size_t>(axis)] = Dim(1 + n % 97);
    Value part = b.Input(Cat("x", n), {dtype, shape});
    if (n % 50 == 7 && !ragged) part = b.Transpose(b.Transpose(part, {2, 1, 0}), {2, 1, 0});
    parts.push_back(part);
  }
  b.Output("out", b.Concat(parts, axis));
  EXPECT_TRUE(b.status().ok()) << Cat(b.status());
  return graph;
}

TEST(LargeConcat, FourThousandOperandsAgreeWithTheOracle) {
  ExpectSame(Concatenation(4096, 1, false, DType::kF32), 0);
}

TEST(LargeConcat, OperandsOfManySizesAgreeWithTheOracle) {
  for (int64_t axis : {0, 1, 2}) ExpectSame(Concatenation(300, axis, true, DType::kF32), 0);
  ExpectSame(Concatenation(40, 1, true, DType::kF16), 0);
}

TEST(LargeConcat, ViewsAgreeWithTheOracle) {
  Graph graph;
  GraphBuilder b(graph);
  const Value x = b.Input("x", {DType::kF32, {Dim(20), Dim(40)}});
  std::vector<Value> parts;
  for (int n = 0; n < 30; ++n) {
    parts.push_back(b.Transpose(b.Narrow(x, 1, n, 1 + n % 7), {1, 0}));
  }
  b.Output("out", b.Concat(parts, 0));
  ExpectSame(graph, 0);
}

TEST(LargeCompile, IsCancelledWhileKernelsAreCompiled) {
  const Graph graph = Woven(9000, 3, DType::kF32);
  std::stop_source stop;
  stages::CompileRequest request{.backend = &CpuRunner().backend(),
                                 .target = CpuRunner().backend().Targets()[0]};
  request.cancel = CancelToken(stop.get_token());
  std::jthread canceller;
  request.observer.progress = [&](std::string_view phase, std::string_view) {
    if (phase != "codegen") return;
    canceller = std::jthread([&stop] {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      stop.request_stop();
    });
  };
  const auto result = stages::CompileGraphStages(graph, request);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kCancelled) << Cat(result.status());
}

}  // namespace
}  // namespace rlx::test
