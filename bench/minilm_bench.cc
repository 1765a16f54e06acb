// SPDX-License-Identifier: Apache-2.0
// MiniLM-L6's shape through the stages and the CPU back end, in this process: compile time by
// phase, then run time as a share of the multiply-add peak measured in the same run.
//
//   bench_minilm_bench [batch [seq [threads]]]
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "backends/cpu/cpu_backend.h"
#include "bench/fma_peak.h"
#include "bench/loaded_program.h"
#include "bench/minilm_module.h"
#include "runtime/base/check.h"
#include "runtime/stages/stages.h"

namespace rlx::bench {
namespace {

using Clock = std::chrono::steady_clock;

double MedianMillis(LoadedProgram& loaded, int runs) {
  std::vector<double> millis;
  for (int r = 0; r < runs; ++r) {
    const auto start = Clock::now();
    const absl::Status status = loaded.Run();
    CHECK(status.ok(), Cat(status));
    millis.push_back(SecondsSince(start) * 1e3);
  }
  std::sort(millis.begin(), millis.end());
  return millis[millis.size() / 2];
}

int Main(int argc, char** argv) {
  const int64_t batch = argc > 1 ? std::atoll(argv[1]) : 1;
  const int64_t seq = argc > 2 ? std::atoll(argv[2]) : 128;
  const int threads = argc > 3 ? std::atoi(argv[3]) : 2;
  const EncoderShape shape;
  const auto backend = cpu::MakeCpuBackend();
  const Module module = EncoderModule(shape, batch, seq);
  const TensorMap tensors = EncoderTensors(module.graph, shape);

  const auto start = Clock::now();
  auto compiled = stages::CompileModuleStages(
      module,
      {.device = DeviceKind::kCpu, .backend = backend.get(), .target = backend->Targets()[0]});
  CHECK(compiled.ok(), Cat(compiled.status()));
  std::printf("compile %.1f ms:", SecondsSince(start) * 1e3);
  for (const auto& [phase, seconds] : compiled->phase_seconds) {
    std::printf(" %s %.1f", phase.c_str(), seconds * 1e3);
  }
  std::printf("\n%s\n", compiled->fusion.Summary().c_str());
  CHECK(compiled->program != nullptr, compiled->why_no_program);
  std::printf("%zu steps, %zu kernels, arena %.2f MiB\n", compiled->program->steps.size(),
              compiled->program->kernels.size(),
              static_cast<double>(compiled->program->arena_bytes) / (1 << 20));

  const auto device = backend->Open("cpu:0", {.threads = threads});
  CHECK(device.ok(), Cat(device.status()));
  auto loaded = LoadedProgram::Create(
      **device, compiled->program,
      [&](const device::TensorSpec& spec) { return tensors.at(spec.name).bytes(); });
  CHECK(loaded.ok(), Cat(loaded.status()));
  MedianMillis(*loaded, 20);  // warm
  const double flops = EncoderFlops(shape, batch, seq);
  for (int round = 0; round < 3; ++round) {
    const double peak = FmaPeak(cpu::DetectIsa(), threads);
    const double millis = MedianMillis(*loaded, 100);
    const double rate = flops / millis * 1e-6;
    std::printf("b%ld s%ld, %d threads: median %.3f ms, %.1f GFLOP/s of %.1f peak: %.0f %%\n",
                static_cast<long>(batch), static_cast<long>(seq), threads, millis, rate, peak,
                100 * rate / peak);
  }
  return 0;
}

}  // namespace
}  // namespace rlx::bench

int main(int argc, char** argv) { return rlx::bench::Main(argc, argv); }
