// SPDX-License-Identifier: Apache-2.0
// How the time of a compile grows with the graph, by phase:
//
//   bench_compile_bench [shape [nodes ...]]
//
// Shapes: `chain` (each node reads the one before and an input), `tree` (a balanced sum of
// products), `mesh` (each node reads two of the last sixteen: many values live), `math` (a chain
// through tanh, exp, erf and sin at random), `concat` (of that many equal operands), `ragged` (of
// operands that all differ), `wide` (a sum of that many inputs), `views` (reshapes between
// additions that other shapes keep apart).
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>

#include "backends/cpu/cpu_backend.h"
#include "bench/fma_peak.h"
#include "runtime/base/check.h"
#include "runtime/ir/builder.h"
#include "runtime/stages/stages.h"

namespace rlx::bench {
namespace {

using Shaper = std::function<void(GraphBuilder&, int)>;

TensorType Row(int64_t size) { return {DType::kF32, {Dim(size)}}; }

void Chain(GraphBuilder& b, int nodes) {
  const Value x = b.Input("x", Row(4096)), y = b.Input("y", Row(4096));
  Value v = x;
  for (int n = 0; n < nodes; ++n)
    v = n % 3 == 0 ? b.Add(v, y) : n % 3 == 1 ? b.Mul(v, x) : b.Sub(v, y);
  b.Output("out", v);
}

void Tree(GraphBuilder& b, int nodes) {
  const Value x = b.Input("x", Row(4096)), y = b.Input("y", Row(4096));
  std::vector<Value> level;
  for (int n = 0; n < nodes / 2; ++n) {
    level.push_back(b.Mul(n % 2 == 0 ? x : y, b.Scalar(DType::kF32, 1.0 / (n + 1))));
  }
  while (level.size() > 1) {
    std::vector<Value> next;
    for (size_t i = 0; i + 1 < level.size(); i += 2) next.push_back(b.Add(level[i], level[i + 1]));
    if (level.size() % 2 == 1) next.push_back(level.back());
    level = std::move(next);
  }
  b.Output("out", level[0]);
}

void Mesh(GraphBuilder& b, int nodes) {
  std::vector<Value> values = {b.Input("x", Row(4096)), b.Input("y", Row(4096))};
  uint32_t state = 1;
  const auto pick = [&] {
    state = state * 1664525 + 1013904223;
    return values[values.size() - 1 - (state >> 16) % std::min<size_t>(16, values.size())];
  };
  for (int n = 0; n < nodes; ++n) {
    const Value a = pick(), c = pick();
    values.push_back(n % 2 == 0 ? b.Add(a, c) : b.Max(a, c));
  }
  Value sum = values.back();
  for (size_t i = 2; i <= 16; ++i) sum = b.Add(sum, values[values.size() - i]);
  b.Output("out", sum);
}

void Math(GraphBuilder& b, int nodes) {
  Value v = b.Input("x", Row(4096));
  uint32_t state = 1;
  for (int n = 0; n < nodes; ++n) {
    constexpr OpKind kOps[] = {OpKind::kTanh, OpKind::kExp, OpKind::kErf, OpKind::kSin};
    state = state * 1664525 + 1013904223;
    v = b.Unary(kOps[state >> 30], v);
  }
  b.Output("out", v);
}

void Concat(GraphBuilder& b, int nodes) {
  std::vector<Value> parts;
  for (int n = 0; n < nodes; ++n) {
    parts.push_back(b.Input("x" + std::to_string(n), {DType::kF32, {Dim(16), Dim(8)}}));
  }
  b.Output("out", b.Concat(parts, 1));
}

void Ragged(GraphBuilder& b, int nodes) {
  std::vector<Value> parts;
  for (int n = 0; n < nodes; ++n) {
    parts.push_back(b.Input("x" + std::to_string(n), {DType::kF32, {Dim(4), Dim(1 + n)}}));
  }
  b.Output("out", b.Concat(parts, 1));
}

void Wide(GraphBuilder& b, int nodes) {
  Value sum = b.Input("x", Row(4096));
  for (int n = 1; n < nodes; ++n) sum = b.Add(sum, b.Input("x" + std::to_string(n), Row(4096)));
  b.Output("out", sum);
}

void Views(GraphBuilder& b, int nodes) {
  Value v = b.Input("x", Row(4096));
  for (int n = 0; n < nodes / 2; ++n) {
    v = b.Reshape(v, n % 2 == 0 ? Shape{Dim(64), Dim(64)} : Shape{Dim(4096)});
    v = b.Unary(OpKind::kNeg, v);
  }
  b.Output("out", v);
}

const std::map<std::string, Shaper> kShapes = {
    {"chain", Chain},   {"tree", Tree},     {"mesh", Mesh},   {"math", Math},
    {"concat", Concat}, {"ragged", Ragged}, {"views", Views}, {"wide", Wide}};

void Measure(const std::string& name, const Shaper& shape, int nodes,
             const device::Backend& backend) {
  Graph graph;
  GraphBuilder b(graph);
  shape(b, nodes);
  CHECK(b.status().ok(), Cat(b.status()));
  stages::CompileRequest request{.backend = &backend, .target = backend.Targets()[0]};
  request.limits.max_nodes = 1'000'000;
  const auto start = std::chrono::steady_clock::now();
  const auto result = stages::CompileGraphStages(graph, request);
  const double total = SecondsSince(start);
  CHECK(result.ok(), Cat(result.status()));
  CHECK(result->program != nullptr, result->why_no_program);
  std::printf("%-7s %7d  total %7.3f", name.c_str(), nodes, total);
  for (const auto& [phase, seconds] : result->phase_seconds) {
    std::printf("  %s %.3f", phase.c_str(), seconds);
  }
  const device::Program& program = *result->program;
  std::printf("  steps %zu kernels %zu object %zu KiB scratch %lld KiB\n", program.steps.size(),
              program.kernels.size(), program.object.size() >> 10,
              static_cast<long long>(program.scratch_bytes >> 10));
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  const auto backend = cpu::MakeCpuBackend();
  std::vector<int> sizes;
  for (int i = 2; i < argc; ++i) sizes.push_back(std::atoi(argv[i]));
  if (sizes.empty()) sizes = {250, 500, 1000, 2000, 4000};
  for (const auto& [name, shape] : kShapes) {
    if (argc > 1 && name != argv[1]) continue;
    for (int nodes : sizes) Measure(name, shape, nodes, *backend);
  }
  return 0;
}

}  // namespace
}  // namespace rlx::bench

int main(int argc, char** argv) { return rlx::bench::Main(argc, argv); }
