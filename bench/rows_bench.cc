// SPDX-License-Identifier: Apache-2.0
// Generated kernels that go along rows: microseconds of one thread for 256 rows of each width.
//
//   bench_rows_bench [profile=cpu]
#include <algorithm>
#include <cstdio>
#include <functional>

#include "backends/cpu/cpu_backend.h"
#include "bench/fma_peak.h"
#include "runtime/base/check.h"
#include "runtime/ir/builder.h"
#include "runtime/stages/stages.h"

namespace rlx::bench {
namespace {

constexpr int64_t kRows = 256;
constexpr int64_t kWidths[] = {32, 64, 100, 128, 200, 384, 512, 768, 1000, 1024, 4096};

using Make = std::function<Value(GraphBuilder&, Value x, Value gamma, Value beta)>;
const std::pair<const char*, Make> kOps[] = {
    {"layer_norm",
     [](GraphBuilder& b, Value x, Value g, Value beta) { return b.LayerNorm(x, g, beta, 1e-5); }},
    {"rms_norm", [](GraphBuilder& b, Value x, Value g, Value) { return b.RmsNorm(x, g, 1e-5); }},
    {"softmax", [](GraphBuilder& b, Value x, Value, Value) { return b.Softmax(x); }},
    {"reduce_sum", [](GraphBuilder& b, Value x, Value,
                      Value) { return b.Reduce(OpKind::kReduceSum, x, {1}, false); }},
    {"reduce_max", [](GraphBuilder& b, Value x, Value, Value) {
       return b.Reduce(OpKind::kReduceMax, x, {1}, false);
     }}};

double Micros(const Make& make, int64_t width, const device::Backend& backend,
              const device::Target& target) {
  Graph graph;
  GraphBuilder b(graph);
  const Value x = b.Input("x", {DType::kF32, {Dim(kRows), Dim(width)}});
  const Value gamma = b.Input("gamma", {DType::kF32, {Dim(width)}});
  const Value beta = b.Input("beta", {DType::kF32, {Dim(width)}});
  b.Output("y", make(b, x, gamma, beta));
  const stages::CompileRequest request{.backend = &backend, .target = target};
  const auto result = stages::CompileGraphStages(graph, request);
  CHECK(result.ok() && result->program != nullptr, Cat(result.status()));
  std::string none;
  const auto device = backend.Open(backend.Enumerate(none)[0].id, {.threads = 1});
  const auto executable = (*device)->Load(result->program);
  CHECK(executable.ok(), Cat(executable.status()));
  const auto weights = (*executable)->BindWeights({}, {});
  const auto context = (*executable)->NewContext();
  std::vector<std::vector<float>> in;
  std::vector<std::span<const uint8_t>> inputs;
  for (const auto& spec : result->program->inputs) {
    in.emplace_back(*spec.type.NumElements(), 0.5F);
    inputs.emplace_back(reinterpret_cast<const uint8_t*>(in.back().data()), in.back().size() * 4);
  }
  std::vector<float> out(*result->program->outputs[0].type.NumElements());
  const std::span<uint8_t> output(reinterpret_cast<uint8_t*>(out.data()), out.size() * 4);
  double best = 1e9;
  for (int burst = 0; burst < 40; ++burst) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 20; ++i) CHECK((*context)->Run(**weights, inputs, {&output, 1}, {}).ok());
    best = std::min(best, SecondsSince(start) / 20);
  }
  return best * 1e6;
}

int Main(const char* profile) {
  const auto backend = cpu::MakeCpuBackend();
  for (const device::Target& target : backend->Targets()) {
    if (target.profile != profile) continue;
    std::printf("| op |");
    for (int64_t width : kWidths) std::printf(" %ld |", width);
    for (const auto& [name, make] : kOps) {
      std::printf("\n| %s |", name);
      for (int64_t width : kWidths) std::printf(" %.1f |", Micros(make, width, *backend, target));
      std::fflush(stdout);
    }
    std::printf("\n");
  }
  return 0;
}

}  // namespace
}  // namespace rlx::bench

int main(int argc, char** argv) { return rlx::bench::Main(argc > 1 ? argv[1] : "cpu"); }
