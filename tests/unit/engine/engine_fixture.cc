// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/engine/engine_fixture.h"

#include <cmath>

#include "backends/cpu/cpu_backend.h"
#include "runtime/base/clock.h"
#include "runtime/base/text.h"
#include "runtime/ir/text.h"

namespace rlx::engine::test {
namespace {

class HookedBackend final : public device::Backend {
 public:
  explicit HookedBackend(std::shared_ptr<Hooks> hooks) : hooks_(std::move(hooks)) {}

  std::string_view name() const override { return real_->name(); }
  DeviceKind kind() const override { return real_->kind(); }
  std::vector<device::Target> Targets() const override { return real_->Targets(); }
  device::Claim Claims(const Graph& graph, NodeId node,
                       const device::Target& target) const override {
    std::function<void()> hook;
    {
      std::lock_guard lock(hooks_->mutex);
      hook = hooks_->on_claim;
    }
    if (hook) hook();
    return real_->Claims(graph, node, target);
  }
  std::vector<std::string> ClaimedKinds(const device::Target& target) const override {
    return real_->ClaimedKinds(target);
  }
  bool AcceptsStrided(const Graph& graph, NodeId node, int slot) const override {
    return real_->AcceptsStrided(graph, node, slot);
  }
  absl::Status Lower(NodeId node, device::ProgramBuilder& builder) const override {
    return real_->Lower(node, builder);
  }
  absl::StatusOr<std::string> CompileKernels(std::span<const kernel::Kernel> kernels,
                                             const device::Target& target,
                                             const CancelToken& cancel) const override {
    ++hooks_->kernel_compiles;
    return real_->CompileKernels(kernels, target, cancel);
  }
  absl::StatusOr<std::vector<device::KernelText>> ExportKernel(
      const kernel::Kernel& kernel, const device::Target& target) const override {
    return real_->ExportKernel(kernel, target);
  }
  std::string CompilerVersion() const override { return real_->CompilerVersion(); }
  std::vector<device::DeviceInfo> Enumerate(std::string& why_none) const override {
    return real_->Enumerate(why_none);
  }
  absl::StatusOr<std::shared_ptr<device::Device>> Open(
      std::string_view id, const device::DeviceOptions& device_options) const override {
    return real_->Open(id, device_options);
  }

 private:
  const std::unique_ptr<device::Backend> real_ = cpu::MakeCpuBackend();
  const std::shared_ptr<Hooks> hooks_;
};

std::string MlpText(std::string_view label, std::string_view symbols, std::string_view rows) {
  return Cat("mir \"", label, "\" {\n", symbols, "%0 = input \"x\" : f32[", rows, ",8]\n",
             "%1 = param \"w\" : f32[8,8]\n%2 = param \"b\" : f32[8]\n%3 = matmul \"", label,
             ".up\" (%0, %1)\n%4 = add \"", label, ".bias\" (%3, %2)\n%5 = gelu \"", label,
             ".act\" (%4)\n%6 = neg(%5)\noutput \"y\" = %6\n}\n");
}

}  // namespace

device::Registry HookedRegistry(std::shared_ptr<Hooks> hooks) {
  device::Registry registry;
  EXPECT_TRUE(registry.Add(std::make_unique<HookedBackend>(std::move(hooks))).ok());
  return registry;
}

void CountingObserver::CompileFinished(const CompileEvent& event) {
  if (!event.status.ok()) {
    ++failed;
    return;
  }
  ++results_[static_cast<int>(event.cache)];
  if (event.fusion != nullptr) ++fusions_reported;
}
void CountingObserver::RunFinished(const RunEvent& event) {
  ++runs;
  if (event.code != absl::StatusCode::kOk) ++stages_[static_cast<int>(event.stage)];
}
void CountingObserver::SessionOpened(DeviceKind, bool weights_shared) {
  ++opened;
  if (weights_shared) ++shared;
}
void CountingObserver::SessionEnded(DeviceKind, SessionEnd how) {
  if (how == SessionEnd::kLeaseExpired) ++expired;
  if (how == SessionEnd::kClosed) ++closed;
}
Module Parse(std::string_view text) {
  absl::StatusOr<Module> module = ParseModule(text);
  EXPECT_TRUE(module.ok()) << module.status();
  return module.ok() ? *std::move(module) : Module{};
}

Module Mlp(std::string_view label) { return Parse(MlpText(label, "", "4")); }
Module SymbolicMlp() { return Parse(MlpText("mlp", "symbol rows in [1, 64]\n", "rows")); }
Module AddOne() {
  return Parse(R"(mir "add_one" {
    %0 = input "x" : f32[16]
    %1 = constant {value = f32[] (1)} : f32[]
    %2 = add(%0, %1)
    output "y" = %2
  })");
}

std::string FloatBytes(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}
std::vector<float> Floats(std::string_view bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

EngineTest::EngineTest() {
  options.threads = 2;
  options.compile_threads = 2;
  options.reattach_seconds = 0;
  options.host_memory_bytes = int64_t{1} << 30;
}

void EngineTest::Start() {
  engine.reset();
  absl::StatusOr<std::unique_ptr<Engine>> made =
      Engine::Create(options, HookedRegistry(hooks), &observer);
  ASSERT_TRUE(made.ok()) << made.status();
  engine = *std::move(made);
}

CompileSpec EngineTest::Spec(Module module) const {
  CompileSpec spec;
  spec.module = std::move(module);
  return spec;
}

absl::StatusOr<Compiled> EngineTest::Compile(Module module, CompileCall call) {
  return engine->Compile({}, Spec(std::move(module)), call, {});
}

std::vector<WeightSource> EngineTest::MlpWeights(const Principal& who) {
  std::vector<float> values;
  for (int i = 0; i < 8; ++i) {
    for (int j = 0; j < 8; ++j) values.push_back(static_cast<float>(i + j) / 16);
  }
  for (int j = 0; j < 8; ++j) values.push_back(static_cast<float>(j) / 8);
  const std::string bytes = FloatBytes(values);
  const absl::StatusOr<Digest256> blob = engine->blobs().Put(who.name, bytes);
  EXPECT_TRUE(blob.ok() || absl::IsAlreadyExists(blob.status())) << blob.status();
  const Digest256 digest = Sha256Of(bytes);
  return {{"w", DType::kF32, {8, 8}, WeightSource::Slice{digest, 0, 256}},
          {"b", DType::kF32, {8}, WeightSource::Slice{digest, 256, 32}}};
}

absl::StatusOr<Opened> EngineTest::OpenMlp(const Principal& who) {
  OpenSpec spec;
  spec.executable = OpenSpec::Compile{Spec(Mlp()), {}};
  spec.weights = MlpWeights(who);
  return engine->OpenSession(who, std::move(spec), {});
}

std::vector<float> EngineTest::MlpInput() {
  std::vector<float> x;
  for (int i = 0; i < 32; ++i) x.push_back(static_cast<float>(i % 5) - 2);
  return x;
}

std::vector<float> EngineTest::MlpExpected(const std::vector<float>& x) {
  std::vector<float> out;
  for (size_t row = 0; row < x.size() / 8; ++row) {
    for (int j = 0; j < 8; ++j) {
      double sum = j / 8.0;
      for (int i = 0; i < 8; ++i) sum += static_cast<double>(x[row * 8 + i]) * (i + j) / 16;
      out.push_back(static_cast<float>(-0.5 * sum * (1 + std::erf(sum / std::sqrt(2.0)))));
    }
  }
  return out;
}

absl::StatusOr<EngineTest::Ran> EngineTest::Run(const RandomId& handle, const std::vector<float>& x,
                                                std::vector<int64_t> dims, const Principal& who,
                                                const CancelToken& cancel) {
  const NamedInput input{"x",
                         DType::kF32,
                         dims,
                         {reinterpret_cast<const uint8_t*>(x.data()), x.size() * sizeof(float)}};
  Ran ran;
  const auto memory = [&](const OutputSpec& output) {
    ran.outputs.resize(output.position + 1);
    ran.outputs.back().resize(output.bytes / sizeof(float));
    return reinterpret_cast<uint8_t*>(ran.outputs.back().data());
  };
  const RunSpec spec{handle, {&input, 1}, {}};
  absl::StatusOr<RunTiming> timing = engine->Run(who, spec, memory, cancel);
  if (!timing.ok()) return timing.status();
  ran.timing = *timing;
  return ran;
}

CancelToken Within(int milliseconds) {
  return CancelToken({}, CancelToken::Clock::now() + std::chrono::milliseconds(milliseconds));
}

bool Eventually(const std::function<bool()>& condition) {
  const double until = MonotonicSeconds() + 60;
  while (!condition()) {
    if (MonotonicSeconds() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

}  // namespace rlx::engine::test
