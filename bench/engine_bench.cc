// SPDX-License-Identifier: Apache-2.0
// What the engine itself costs, without a wire: bench_engine_bench [FOLDER]. A MiniLM-sized encoder
// (HIR, batch 1, 128 tokens, no trained weights) is compiled cold, asked for again, found on disk
// after a restart, opened twice; then a graph of one addition runs many times. Prints medians.
#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "backends/cpu/cpu_backend.h"
#include "bench/fma_peak.h"
#include "runtime/base/file.h"
#include "runtime/base/status.h"
#include "runtime/device/registry.h"
#include "runtime/engine/engine.h"
#include "runtime/ir/builder.h"

namespace rlx::engine {
namespace {

constexpr int64_t kTokens = 128, kHidden = 384, kInner = 1536, kHeads = 12, kVocabulary = 30522;
constexpr int kLayers = 6;

Module Encoder() {
  Module module{.stage = Stage::kHir};
  GraphBuilder b(module.graph);
  module.graph.name = "encoder";
  const auto param = [&](std::string name, Shape shape) {
    return b.Param(name, {DType::kF32, std::move(shape)});
  };
  const Value ids = b.Input("input_ids", {DType::kI64, {1, kTokens}});
  const Value words = b.Gather(param("words", {kVocabulary, kHidden}), ids);
  const Value positions = param("positions", {kTokens, kHidden});
  Value x = b.LayerNorm(b.Add(words, positions), param("norm.gamma", {kHidden}),
                        param("norm.beta", {kHidden}), 1e-12);
  for (int layer = 0; layer < kLayers; ++layer) {
    std::vector<Value> operands = {x};
    const auto add = [&](std::string_view name, Shape shape) {
      operands.push_back(param(Cat("layer.", layer, ".", name), std::move(shape)));
    };
    for (std::string_view name : {"q", "k", "v", "o"}) {
      add(Cat(name, ".w"), {kHidden, kHidden});
      add(Cat(name, ".b"), {kHidden});
    }
    add("norm1.gamma", {kHidden});
    add("norm1.beta", {kHidden});
    add("up.w", {kHidden, kInner});
    add("up.b", {kInner});
    add("down.w", {kInner, kHidden});
    add("down.b", {kHidden});
    add("norm2.gamma", {kHidden});
    add("norm2.beta", {kHidden});
    x = b.Emit(OpKind::kHirBertEncoderBlock, std::move(operands),
               {{"num_heads", kHeads}, {"head_dim", kHidden / kHeads}, {"eps", 1e-12}});
  }
  b.Output("hidden", x);
  if (!b.status().ok()) std::fprintf(stderr, "%s\n", Cat(b.status()).c_str());
  return module;
}

Module AddOne() {
  Module module;
  GraphBuilder b(module.graph);
  const Value x = b.Input("x", {DType::kF32, {16}});
  b.Output("y", b.Add(x, b.Scalar(DType::kF32, 1)));
  return module;
}

using Clock = std::chrono::steady_clock;

// Prints the median of `count` timings of `body`, in microseconds.
template <class Body>
void Measure(const char* what, int count, const Body& body) {
  std::vector<double> micros;
  for (int i = 0; i < count; ++i) {
    const auto start = Clock::now();
    body();
    micros.push_back(1e6 * bench::SecondsSince(start));
  }
  std::sort(micros.begin(), micros.end());
  std::printf("%-44s %12.2f us  (p99 %.2f, n=%d)\n", what, micros[micros.size() / 2],
              micros[micros.size() * 99 / 100], count);
}

template <class T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "%s\n", Cat(value.status()).c_str());
    std::exit(1);
  }
  return *std::move(value);
}

std::unique_ptr<Engine> Start(const std::string& folder) {
  device::Registry registry;
  if (!registry.Add(cpu::MakeCpuBackend()).ok()) std::exit(1);
  EngineOptions options;
  options.cache_dir = folder;
  options.max_inline_weight_bytes = uint64_t{1} << 30;
  return Must(Engine::Create(std::move(options), std::move(registry), nullptr));
}

CompileSpec SpecOf(const Module& module) {
  CompileSpec spec;
  spec.module = module;
  return spec;
}

OpenSpec OpenOf(const Compiled& compiled, const std::vector<WeightSource>& weights) {
  OpenSpec spec;
  spec.executable = compiled.key();
  spec.weights = weights;
  return spec;
}

std::vector<WeightSource> ZeroWeights(const Compiled& compiled, Engine& engine) {
  std::vector<WeightSource> weights;
  for (const IoEntry& param : compiled.module->artifact.lir.plan.params) {
    const uint64_t bytes = static_cast<uint64_t>(*param.type.ByteSize());
    const std::string zeros(bytes, '\0');
    const Digest256 blob = Sha256Of(zeros);
    if (!engine.blobs().Has("", blob)) Must(engine.blobs().Put("", zeros));
    weights.push_back({param.name, param.type.dtype, param.type.StaticDims(),
                       WeightSource::Slice{blob, 0, bytes}});
  }
  return weights;
}

void MeasureRuns(Engine& engine) {
  const Compiled compiled = Must(engine.Compile({}, SpecOf(AddOne()), {}, {}));
  const Opened session = Must(engine.OpenSession({}, OpenOf(compiled, {}), {}));
  const std::vector<float> x(16, 1);
  std::vector<float> y(16);
  const std::vector<int64_t> dims = {16};
  const NamedInput input{"x", DType::kF32, dims, {reinterpret_cast<const uint8_t*>(x.data()), 64}};
  const auto memory = [&](const OutputSpec&) { return reinterpret_cast<uint8_t*>(y.data()); };
  Measure("run of x + 1, f32[16]", 100'000,
          [&] { Must(engine.Run({}, {session.handle, {&input, 1}, {}}, memory, {})); });
}

void Main(const std::string& folder) {
  const Module module = Encoder();
  std::unique_ptr<Engine> engine = Start(folder);
  std::printf("HIR module: %d nodes\n", module.graph.size());
  Measure("compile, cold", 5,
          [&] { Must(engine->Compile({}, SpecOf(module), {.skip_cache_lookup = true}, {})); });
  CompileSpec spec = SpecOf(module);
  spec.request = Sha256Of("the request");
  const Compiled compiled = Must(engine->Compile({}, spec, {}, {}));
  std::printf("artifact: %.1f KiB\n", static_cast<double>(compiled.module->artifact_bytes) / 1024);
  Measure("memory hit, from the module", 2000, [&] { Must(engine->Compile({}, spec, {}, {})); });
  Measure("memory hit, from the request's digest", 20'000, [&] {
    if (!engine->Recall({}, *spec.request)) std::exit(1);
  });
  std::vector<std::unique_ptr<Engine>> restarted;
  for (int i = 0; i < 10; ++i) restarted.push_back(Start(folder));
  size_t next = 0;
  Measure("disk hit after a restart", 10,
          [&] { Must(restarted[next++]->Compile({}, spec, {}, {})); });
  const std::vector<WeightSource> weights = ZeroWeights(compiled, *engine);
  Measure("open a session, weights to be bound", 1,
          [&] { Must(engine->OpenSession({}, OpenOf(compiled, weights), {})); });
  Measure("open another", 100,
          [&] { Must(engine->OpenSession({}, OpenOf(compiled, weights), {})); });
  MeasureRuns(*engine);
}

}  // namespace
}  // namespace rlx::engine

int main(int argc, char** argv) {
  const std::string folder =
      argc > 1 ? argv[1] : std::filesystem::temp_directory_path() / "rlx_engine_bench";
  if (!rlx::EnsureDir(folder).ok()) return 1;
  rlx::engine::Main(folder);
  return 0;
}
