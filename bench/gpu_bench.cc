// SPDX-License-Identifier: Apache-2.0
// An encoder through the stages and a GPU's back end, in this process: compile, load and bind
// times, the run as a client sees it (inputs in, outputs out), what the steps take on the device,
// and, if asked, how far the answer is from the evaluator's.
//
//   bench_gpu_bench PLUGIN_FOLDER [minilm|bert [batch [seq [f32|f16|mixed [check]]]]]
//
// With `serve FOLDER` instead of `check` it writes params and inputs there, says how long it took
// to be ready, and obeys lines: "run N" answers with the median of N runs in ms, "write" leaves the
// output in FOLDER/out.bin (bench.gpu_peers).
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>

#include "bench/loaded_program.h"
#include "bench/minilm_module.h"
#include "runtime/base/check.h"
#include "runtime/device/registry.h"
#include "runtime/stages/stages.h"

namespace rlx::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr EncoderShape kMiniLm;
constexpr EncoderShape kBertBase{.layers = 12, .hidden = 768, .ffn = 3072};

CompileOptions OptionsFor(std::string_view precision) {
  CompileOptions options;
  if (precision == "f16") options.policy = {PrecisionPolicyKind::kAlwaysF16, {}};
  if (precision == "mixed") options.policy = {PrecisionPolicyKind::kAutoMixed, {}};
  return options;
}

LoadedProgram Load(const device::Backend& backend, const device::Device& device,
                   const Module& module, const TensorMap& tensors, const CompileOptions& options,
                   std::FILE* report) {
  const auto start = Clock::now();
  auto compiled = stages::CompileModuleStages(module, {.device = backend.kind(),
                                                       .options = options,
                                                       .backend = &backend,
                                                       .target = backend.Targets()[0]});
  CHECK(compiled.ok(), Cat(compiled.status()));
  CHECK(compiled->program != nullptr, compiled->why_no_program);
  std::fprintf(report, "compile %.1f ms:", SecondsSince(start) * 1e3);
  for (const auto& [phase, seconds] : compiled->phase_seconds) {
    std::fprintf(report, " %s %.1f", phase.c_str(), seconds * 1e3);
  }
  std::fprintf(report, "\n%zu steps, %zu kernels, arena %.2f MiB, code %zu KiB\n",
               compiled->program->steps.size(), compiled->program->kernels.size(),
               static_cast<double>(compiled->program->arena_bytes) / (1 << 20),
               compiled->program->object.size() >> 10);
  auto loaded = LoadedProgram::Create(device, compiled->program, [&](const auto& spec) {
    return absl::StatusOr<SharedBytes>(tensors.at(spec.name).bytes());
  });
  CHECK(loaded.ok(), Cat(loaded.status()));
  std::fprintf(report, "load %.1f ms, bind %.1f ms\n", loaded->load_seconds() * 1e3,
               loaded->bind_seconds() * 1e3);
  return *std::move(loaded);
}

double Millis(LoadedProgram& loaded) {
  const auto start = Clock::now();
  const absl::Status status = loaded.Run();
  CHECK(status.ok(), Cat(status));
  return SecondsSince(start) * 1e3;
}

double MedianMillis(LoadedProgram& loaded, int runs) {
  std::vector<double> millis;
  for (int r = 0; r < runs; ++r) millis.push_back(Millis(loaded));
  std::sort(millis.begin(), millis.end());
  return millis[millis.size() / 2];
}

// Steps by what they are called without their number.
void PrintTrace(LoadedProgram& loaded) {
  std::vector<device::StepTime> trace;
  CHECK(loaded.RunTraced(trace).ok(), "no trace");
  std::map<std::string, std::pair<double, int>> by_kind;
  double total = 0;
  for (const device::StepTime& time : trace) {
    auto& [micros, count] = by_kind[time.step->label.substr(0, time.step->label.find(" %"))];
    micros += (time.end - time.start) * 1e6;
    total += (time.end - time.start) * 1e6;
    ++count;
  }
  std::printf("steps one by one: %.1f us\n", total);
  for (const auto& [kind, sum] : by_kind) {
    std::printf("  %-32s %4d x %7.2f us\n", kind.c_str(), sum.second, sum.first / sum.second);
  }
}

// |result - evaluator's| / |evaluator's|, of the first output.
double Distance(const LoadedProgram& gpu, const Module& module, const TensorMap& tensors) {
  auto lowered = stages::CompileModuleStages(module, {.until = Stage::kMir});
  CHECK(lowered.ok(), Cat(lowered.status()));
  const auto exact = Evaluate(lowered->lir.graph, tensors);
  CHECK(exact.ok(), Cat(exact.status()));
  double error = 0, norm = 0;
  const std::vector<double>& wanted = (*exact)[0].f;
  for (size_t i = 0; i < wanted.size(); ++i) {
    float got = 0;
    std::memcpy(&got, gpu.results()[0].data() + 4 * i, 4);
    error += (got - wanted[i]) * (got - wanted[i]);
    norm += wanted[i] * wanted[i];
  }
  return std::sqrt(error / norm);
}

void WriteTo(const std::string& path, std::span<const uint8_t> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::ofstream file(path, std::ios::binary);
  file << text;
  CHECK(file.good(), "cannot write ", path);
}

int Serve(LoadedProgram& loaded, const TensorMap& tensors, const std::string& folder,
          double ready_seconds) {
  for (const auto& [name, tensor] : tensors) {
    WriteTo(Cat(folder, "/", name, ".bin"), tensor.bytes().span());
  }
  const double first = Millis(loaded);
  std::printf("compiled, loaded and bound in %.1f ms, first run %.1f ms\n", ready_seconds * 1e3,
              first);
  std::fflush(stdout);
  char word[16];
  while (std::scanf("%15s", word) == 1) {
    int runs = 0;
    if (std::string_view(word) == "run" && std::scanf("%d", &runs) == 1 && runs > 0) {
      std::printf("%.5f\n", MedianMillis(loaded, runs));
    } else {
      WriteTo(Cat(folder, "/out.bin"), loaded.results()[0]);
      std::printf("written\n");
    }
    std::fflush(stdout);
  }
  return 0;
}

int Main(int argc, char** argv) {
  CHECK(argc > 1, "usage: bench_gpu_bench PLUGIN_FOLDER [minilm|bert [batch [seq [precision]]]]");
  const bool bert = argc > 2 && std::string_view(argv[2]) == "bert";
  const int64_t batch = argc > 3 ? std::atoll(argv[3]) : 1;
  const int64_t seq = argc > 4 ? std::atoll(argv[4]) : 128;
  const std::string_view precision = argc > 5 ? argv[5] : "f32";
  const EncoderShape shape = bert ? kBertBase : kMiniLm;
  device::Registry registry;
  CHECK(registry.LoadFolder(argv[1]).ok(), "no plug-ins in ", argv[1]);
  const device::Backend* found = registry.Find(DeviceKind::kCuda);
  CHECK(found != nullptr, "the plug-in does not load from ", argv[1]);
  const device::Backend& backend = *found;
  std::string why_none;
  const auto devices = backend.Enumerate(why_none);
  CHECK(!devices.empty(), why_none);
  const auto device = backend.Open(devices[0].id, {});
  CHECK(device.ok(), Cat(device.status()));
  const bool serve = argc > 7 && std::string_view(argv[6]) == "serve";
  std::FILE* const report = serve ? stderr : stdout;
  std::fprintf(report, "%s (%s), %s b%ld s%ld %s\n", devices[0].name.c_str(),
               devices[0].driver.c_str(), bert ? "bert" : "minilm", static_cast<long>(batch),
               static_cast<long>(seq), std::string(precision).c_str());

  const Module module = EncoderModule(shape, batch, seq);
  const TensorMap tensors = EncoderTensors(module.graph, shape);
  const auto start = Clock::now();
  LoadedProgram gpu = Load(backend, **device, module, tensors, OptionsFor(precision), report);
  if (serve) return Serve(gpu, tensors, argv[7], SecondsSince(start));
  std::printf("first run %.2f ms\n", Millis(gpu));
  MedianMillis(gpu, 50);
  for (int round = 0; round < 3; ++round) std::printf("run: %.4f ms\n", MedianMillis(gpu, 300));
  PrintTrace(gpu);

  if (argc > 6) std::printf("from the evaluator's: %.2e\n", Distance(gpu, module, tensors));
  return 0;
}

}  // namespace
}  // namespace rlx::bench

int main(int argc, char** argv) { return rlx::bench::Main(argc, argv); }
