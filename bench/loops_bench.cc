// SPDX-License-Identifier: Apache-2.0
// Recurrences by length: compile time and run time of gated_delta_net (heads of 64, f32)
//
//   bench_loops_bench [length ...]
//
// as the back end's own routine, taken apart into a scan that runs as a Loop step, and with that
// scan written out. From some 1,000 steps on it is too large for that and runs as a loop again, as
// the number of steps shows.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "backends/cpu/cpu_backend.h"
#include "bench/loaded_program.h"
#include "runtime/base/check.h"
#include "runtime/base/text.h"
#include "runtime/ir/builder.h"
#include "runtime/stages/stages.h"

namespace rlx::bench {
namespace {

constexpr int64_t kHeads = 8, kWidth = 64;

Graph Recurrence(int64_t length) {
  Graph graph;
  GraphBuilder b(graph);
  const TensorType row{DType::kF32, {1, length, kHeads, kWidth}};
  const TensorType gate{DType::kF32, {1, length, kHeads}};
  std::vector<Value> operands;
  for (const char* name : {"q", "k", "v"}) operands.push_back(b.Input(name, row));
  for (const char* name : {"g", "beta"}) operands.push_back(b.Input(name, gate));
  const std::vector<Value> made = b.EmitAll(OpKind::kGatedDeltaNet, std::move(operands));
  b.Output("o", made[0]);
  b.Output("state", made[1]);
  CHECK(b.status().ok(), Cat(b.status()));
  return graph;
}

// Small and negative, so that the state decays.
absl::StatusOr<SharedBytes> Draw(const device::TensorSpec& spec) {
  std::vector<double> values(static_cast<size_t>(*spec.type.NumElements()));
  uint32_t state = 1;
  for (double& value : values) {
    state = state * 1664525 + 1013904223;
    value = -static_cast<double>(state >> 8) / (1 << 26);
  }
  return HostTensor::FromDoubles(DType::kF32, spec.type.StaticDims(), values).bytes();
}

double MedianRun(LoadedProgram& loaded) {
  std::vector<double> seconds;
  for (int i = 0; i < 7; ++i) {
    const auto start = std::chrono::steady_clock::now();
    CHECK(loaded.Run().ok(), "a run failed");
    seconds.push_back(SecondsSince(start));
  }
  std::ranges::sort(seconds);
  return seconds[seconds.size() / 2];
}

void Measure(std::string_view form, std::set<std::string> common, int64_t length,
             const device::Backend& backend, const device::Device& device) {
  stages::CompileRequest request{.backend = &backend, .target = backend.Targets()[0]};
  request.options.kernel_dispatch.force_common_kinds = std::move(common);
  const auto start = std::chrono::steady_clock::now();
  const auto result = stages::CompileGraphStages(Recurrence(length), request);
  const double compile = SecondsSince(start);
  CHECK(result.ok(), Cat(result.status()));
  std::printf("%-12s %6lld  compile %8.3f s", std::string(form).c_str(),
              static_cast<long long>(length), compile);
  if (result->program == nullptr) {
    std::printf("  no program: %s\n", result->why_no_program.c_str());
    return;
  }
  auto loaded = LoadedProgram::Create(device, result->program, Draw);
  CHECK(loaded.ok(), Cat(loaded.status()));
  std::printf("  run %8.3f ms  steps %zu  object %zu KiB  arena %lld KiB\n",
              1e3 * MedianRun(*loaded), result->program->steps.size(),
              result->program->object.size() >> 10,
              static_cast<long long>(
                  (result->program->arena_bytes + result->program->scratch_bytes) >> 10));
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  const auto backend = cpu::MakeCpuBackend();
  const auto device = backend->Open("cpu:0", {});
  CHECK(device.ok(), Cat(device.status()));
  std::vector<int64_t> lengths;
  for (int i = 1; i < argc; ++i) lengths.push_back(std::atoll(argv[i]));
  if (lengths.empty()) lengths = {64, 256, 1024, 4096};
  for (int64_t length : lengths) {
    Measure("routine", {}, length, *backend, **device);
    Measure("loop", {"GatedDeltaNet"}, length, *backend, **device);
    Measure("written out", {"GatedDeltaNet", "Scan"}, length, *backend, **device);
  }
  return 0;
}

}  // namespace
}  // namespace rlx::bench

int main(int argc, char** argv) { return rlx::bench::Main(argc, argv); }
