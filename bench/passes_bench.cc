// SPDX-License-Identifier: Apache-2.0
// How compile time grows: graphs of one shape at N and at 2N nodes, MIR → LIR, by phase and by
// pass.
//
//   bench_passes_bench [NODES [SHAPE]]     NODES: of the smaller graph, default 50000
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "backends/cpu/cpu_backend.h"
#include "runtime/base/check.h"
#include "runtime/base/text.h"
#include "runtime/ir/builder.h"
#include "runtime/stages/stages.h"

namespace rlx::bench {
namespace {

constexpr DType kF32 = DType::kF32;

// One elementwise node after the other.
void Chain(GraphBuilder& b, int nodes, const Dim& rows) {
  Value x = b.Input("x", {kF32, {rows, 8}});
  const Value y = b.Input("y", {kF32, {8}});
  constexpr OpKind kOps[] = {OpKind::kTanh, OpKind::kAdd, OpKind::kExp, OpKind::kMul};
  for (int i = 0; i < nodes; ++i) {
    x = i % 2 == 0 ? b.Unary(kOps[i % 4], x) : b.Emit(kOps[i % 4], {x, y});
  }
  b.Output("y", x);
}

void SymbolicChain(GraphBuilder& b, int nodes) {
  b.graph().symbols = {{"batch", {1, 64}}};
  Chain(b, nodes, Dim::Symbol("batch"));
}

// Many readers of one value, summed up as a tree.
void FanOut(GraphBuilder& b, int nodes) {
  const Value x = b.Input("x", {kF32, {4, 8}});
  std::vector<Value> level;
  for (int i = 0; i < nodes / 2; ++i) level.push_back(b.Unary(OpKind::kTanh, x));
  while (level.size() > 1) {
    std::vector<Value> next;
    for (size_t i = 0; i + 1 < level.size(); i += 2) next.push_back(b.Add(level[i], level[i + 1]));
    if (level.size() % 2 != 0) next.push_back(level.back());
    level = std::move(next);
  }
  b.Output("y", level.front());
}

// One weight read by every layer, and cut into many slices.
void SharedWeight(GraphBuilder& b, int nodes) {
  Value x = b.Input("x", {kF32, {4, 8}});
  const Value w = b.Param("w", {kF32, {8, 8}}), table = b.Param("table", {kF32, {nodes, 8}});
  for (int i = 0; i < nodes / 4; ++i) {
    const Value row = b.Narrow(table, 0, i, 1);
    x = b.Unary(OpKind::kTanh, b.Add(b.MatMul(x, w), row));
  }
  b.Output("y", x);
}

// A tower of residual blocks: norm, gated product, projection, sum.
void Tower(GraphBuilder& b, int nodes) {
  Value x = b.Input("x", {kF32, {4, 8}});
  for (int i = 0; i < nodes / 12; ++i) {
    const std::string at = Cat(i);
    const Value h = b.RmsNorm(x, b.Param("g" + at, {kF32, {8}}), 1e-5);
    const Value up = b.MatMul(h, b.Param("u" + at, {kF32, {8, 6}}));
    const Value gate = b.MatMul(h, b.Param("w" + at, {kF32, {8, 6}}));
    const Value inner = b.Mul(up, b.Unary(OpKind::kSilu, gate));
    x = b.Add(x, b.MatMul(inner, b.Param("d" + at, {kF32, {6, 8}})));
  }
  b.Output("y", x);
}

// Products of one value by many weights.
void SharedInput(GraphBuilder& b, int nodes) {
  const Value x = b.Input("x", {kF32, {4, 8}});
  for (int i = 0; i < nodes / 3; ++i) {
    const Value w = b.Param(Cat("w", i), {kF32, {8, 2}});
    b.Output(Cat("y", i), b.Unary(OpKind::kRelu, b.MatMul(x, w)));
  }
}

// Constants that fold, and equal ones among them.
void Constants(GraphBuilder& b, int nodes) {
  Value x = b.Input("x", {kF32, {8}});
  for (int i = 0; i < nodes / 4; ++i) {
    x = b.Add(x, b.Mul(b.Scalar(kF32, i % 100), b.Scalar(kF32, 0.5)));
  }
  b.Output("y", x);
}

struct Form {
  std::string_view name;
  void (*build)(GraphBuilder&, int nodes);
};
constexpr Form kForms[] = {
    {"chain", [](GraphBuilder& b, int nodes) { Chain(b, nodes, 4); }},
    {"symbolic", SymbolicChain},
    {"fan_out", FanOut},
    {"shared_weight", SharedWeight},
    {"shared_input", SharedInput},
    {"tower", Tower},
    {"constants", Constants},
};

struct Timing {
  double seconds = 0;
  int nodes = 0;
  stages::CompileResult result;
};

Timing Compile(const Form& form, int nodes, DeviceKind device, const device::Backend* cpu) {
  Graph graph;
  GraphBuilder b(graph);
  form.build(b, nodes);
  CHECK(b.status().ok(), Cat(b.status()));
  stages::CompileRequest request{.device = device, .until = Stage::kLir};
  request.limits.max_nodes = request.limits.max_operands = 10'000'000;
  if (device == DeviceKind::kCpu) {
    request.backend = cpu;
    request.target = cpu->Targets()[0];
  }
  const auto start = std::chrono::steady_clock::now();
  auto result = stages::CompileGraphStages(graph, request);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  CHECK(result.ok(), form.name, ": ", Cat(result.status()));
  return {seconds, graph.size(), *std::move(result)};
}

// The fastest of five: what pages cost that the allocator did not have yet is the first's.
Timing Fastest(const Form& form, int nodes, DeviceKind device, const device::Backend* cpu) {
  Timing best = Compile(form, nodes, device, cpu);
  for (int run = 1; run < 5; ++run) {
    Timing next = Compile(form, nodes, device, cpu);
    if (next.seconds < best.seconds) best = std::move(next);
  }
  return best;
}

void Line(std::string_view what, double once, double twice) {
  if (twice < 2e-3) return;
  std::printf("    %-34s %8.1f %8.1f ms  x%.2f\n", std::string(what).c_str(), once * 1e3,
              twice * 1e3, twice / once);
}

void Report(const Form& form, int nodes, DeviceKind device, const device::Backend* cpu) {
  const Timing once = Fastest(form, nodes, device, cpu),
               twice = Fastest(form, 2 * nodes, device, cpu);
  std::printf("%s on %s: %d nodes %.0f ms, %d nodes %.0f ms, x%.2f\n",
              std::string(form.name).c_str(), std::string(Name(device)).c_str(), once.nodes,
              once.seconds * 1e3, twice.nodes, twice.seconds * 1e3, twice.seconds / once.seconds);
  for (const auto& [phase, seconds] : twice.result.phase_seconds) {
    Line(phase, once.result.phase_seconds.at(phase), seconds);
  }
  for (size_t i = 0; i < twice.result.passes.size(); ++i) {
    Line("  " + twice.result.passes[i].pass, once.result.passes[i].seconds,
         twice.result.passes[i].seconds);
  }
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  const int nodes = argc > 1 ? std::atoi(argv[1]) : 50'000;
  const std::string_view only = argc > 2 ? argv[2] : "";
  const auto cpu = cpu::MakeCpuBackend();
  for (const Form& form : kForms) {
    if (!only.empty() && only != form.name) continue;
    for (const DeviceKind device : {DeviceKind::kCpu, DeviceKind::kCuda}) {
      Report(form, nodes, device, cpu.get());
    }
  }
  return 0;
}

}  // namespace
}  // namespace rlx::bench

int main(int argc, char** argv) { return rlx::bench::Main(argc, argv); }
