// SPDX-License-Identifier: Apache-2.0
// HIR → LIR of the model zoo: time by phase and by pass; symbolic ones made for new sizes; arenas
// beside the least that they could be.
//
//   bench_models_bench [NAME [DEVICE [RUNS]]]     a name of bench/models/zoo.cc, or all
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "backends/cpu/cpu_backend.h"
#include "bench/models/models.h"
#include "runtime/base/check.h"
#include "runtime/base/text.h"
#include "runtime/lower/lower.h"
#include "runtime/stages/stages.h"

namespace rlx::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Timing {
  double seconds = 0;
  stages::CompileResult result;
};

Timing CompileOnce(const Module& module, DeviceKind device, const device::Backend* cpu) {
  stages::CompileRequest request{.device = device, .until = Stage::kLir};
  if (device == DeviceKind::kCpu) {
    request.backend = cpu;
    request.target = cpu->Targets()[0];
  }
  const auto start = Clock::now();
  auto result = stages::CompileModuleStages(module, request);
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  CHECK(result.ok(), module.graph.name, ": ", Cat(result.status()));
  return {seconds, *std::move(result)};
}

// The arena beside the largest live set.
void ReportArena(const LirModule& lir) {
  const int64_t bound = lower::ArenaLowerBound(lir.graph, lir.plan);
  std::printf("  arena %.2f MB, %.4f of the bound, without sharing %.2f MB\n",
              static_cast<double>(lir.plan.arena_bytes) * 1e-6,
              static_cast<double>(lir.plan.arena_bytes) / static_cast<double>(bound),
              static_cast<double>(lir.plan.unshared_bytes) * 1e-6);
}

void Report(const models::ZooEntry& entry, FusionPolicy policy, DeviceKind device, int runs,
            const device::Backend* cpu) {
  const Module module = entry.make(policy);
  std::vector<Timing> timings;
  for (int i = 0; i < runs; ++i) timings.push_back(CompileOnce(module, device, cpu));
  std::ranges::sort(timings, {}, &Timing::seconds);
  const Timing& median = timings[timings.size() / 2];
  std::printf("%s %s %s: median %.1f ms, least %.1f, %s\n", entry.name.c_str(),
              policy == FusionPolicy::kDirect ? "direct" : "fusable",
              std::string(Name(device)).c_str(), median.seconds * 1e3,
              timings.front().seconds * 1e3, median.result.fusion.Summary().c_str());
  for (const auto& [phase, seconds] : median.result.phase_seconds) {
    std::printf("  %s %.2f", phase.c_str(), seconds * 1e3);
  }
  std::printf("\n");
  if (median.result.lir.plan.arena_bytes > 0) ReportArena(median.result.lir);
  for (const PassTiming& pass : median.result.passes) {
    if (!pass.skipped) std::printf("    %-34s %.2f\n", pass.pass.c_str(), pass.seconds * 1e3);
  }
}

double Milliseconds(const std::function<absl::Status()>& work) {
  const auto start = Clock::now();
  const absl::Status status = work();
  if (!status.ok()) std::printf("  %s\n", std::string(status.message()).c_str());
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// A compiled symbolic template made for new sizes, without code: for those alone, and up to them.
void ReportSpecialize(const models::ZooEntry& entry, int runs) {
  const Module module = entry.make(FusionPolicy::kDirect);
  if (module.graph.symbols.empty()) return;
  const Timing compiled = CompileOnce(module, DeviceKind::kTpu, nullptr);
  DimBinding binding;
  for (const auto& [symbol, range] : module.graph.symbols) {
    binding[symbol] = std::min<int64_t>(range.max, symbol == kBatch ? 2 : 384);
  }
  std::vector<double> exact, up_to;
  for (int i = 0; i < runs; ++i) {
    exact.push_back(
        Milliseconds([&] { return compiled.result.Specialize(binding, nullptr, {}).status(); }));
    up_to.push_back(Milliseconds(
        [&] { return compiled.result.SpecializeUpTo(binding, nullptr, {}).status(); }));
  }
  std::ranges::sort(exact);
  std::ranges::sort(up_to);
  std::printf("  specialize: median %.1f ms; up to a capacity %.1f ms\n", exact[exact.size() / 2],
              up_to[up_to.size() / 2]);
  const auto bound = compiled.result.Specialize(binding, nullptr, {});
  if (bound.ok()) ReportArena(bound->lir);
}

int Main(int argc, char** argv) {
  const std::string_view name = argc > 1 ? argv[1] : "all";
  const auto device = ParseDeviceKind(argc > 2 ? argv[2] : "cpu");
  const int runs = argc > 3 ? std::atoi(argv[3]) : 5;
  const auto cpu = cpu::MakeCpuBackend();
  for (const models::ZooEntry& entry : models::Zoo()) {
    if (name != "all" && name != entry.name) continue;
    for (FusionPolicy policy : {FusionPolicy::kDirect, FusionPolicy::kFusable}) {
      Report(entry, policy, *device, runs, cpu.get());
    }
    ReportSpecialize(entry, runs);
  }
  return 0;
}

}  // namespace
}  // namespace rlx::bench

int main(int argc, char** argv) { return rlx::bench::Main(argc, argv); }
