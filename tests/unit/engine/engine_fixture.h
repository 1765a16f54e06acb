// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <mutex>

#include "runtime/device/registry.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/observer.h"
#include "tests/support/temp_dir.h"

namespace rlx::engine::test {

// What a test sees and does while the CPU back end works.
struct Hooks {
  std::atomic<int> kernel_compiles{0};
  std::mutex mutex;
  std::function<void()> on_claim;  // as passes ask what is claimed; guarded by mutex
};

// The CPU back end with hooks.
device::Registry HookedRegistry(std::shared_ptr<Hooks> hooks);

// Counts what it hears.
class CountingObserver : public EngineObserver {
 public:
  void CompileFinished(const CompileEvent& event) override;
  void RunFinished(const RunEvent& event) override;
  void SessionOpened(DeviceKind, bool weights_shared) override;
  void SessionEnded(DeviceKind, SessionEnd how) override;
  void WeightsEvicted(int64_t bytes) override { evicted_bytes += bytes; }

  int ended_in(RunStage stage) const { return stages_[static_cast<int>(stage)]; }  // that failed
  int results(CacheResult result) const { return results_[static_cast<int>(result)]; }

  std::atomic<int> failed{0}, runs{0}, opened{0}, shared{0}, expired{0}, closed{0};
  std::atomic<int64_t> evicted_bytes{0};
  std::atomic<int> fusions_reported{0};

 private:
  std::atomic<int> results_[5] = {};
  std::atomic<int> stages_[3] = {};
};

// y = -gelu(x w + b): "x" f32[4,8], "w" f32[8,8], "b" f32[8], "y" f32[4,8]. `label` names its
// nodes, which changes nothing but names.
Module Mlp(std::string_view label = "mlp");
// The same over "x" f32[rows,8], rows in [1,64].
Module SymbolicMlp();
// y = x + 1 on f32[16].
Module AddOne();
Module Parse(std::string_view text);

std::string FloatBytes(const std::vector<float>& values);
std::vector<float> Floats(std::string_view bytes);

// An engine over the CPU with everything a test may want to look at.
class EngineTest : public ::testing::Test {
 protected:
  EngineTest();

  // Starts or restarts the engine with `options`.
  void Start();

  CompileSpec Spec(Module module) const;
  absl::StatusOr<Compiled> Compile(Module module, CompileCall call = {});

  // Weights of Mlp: w[i][j] = (i + j) / 16, b[j] = j / 8, as one blob of the principal.
  std::vector<WeightSource> MlpWeights(const Principal& who = {});
  absl::StatusOr<Opened> OpenMlp(const Principal& who = {});
  static std::vector<float> MlpInput();
  static std::vector<float> MlpExpected(const std::vector<float>& x);

  // Runs with one f32 input "x", all outputs.
  struct Ran {
    std::vector<std::vector<float>> outputs;
    RunTiming timing;
  };
  absl::StatusOr<Ran> Run(const RandomId& handle, const std::vector<float>& x,
                          std::vector<int64_t> dims, const Principal& who = {},
                          const CancelToken& cancel = {});

  EngineOptions options;
  std::shared_ptr<Hooks> hooks = std::make_shared<Hooks>();
  CountingObserver observer;
  std::unique_ptr<Engine> engine;
};

// A token whose deadline is so many milliseconds from now.
CancelToken Within(int milliseconds);
// Waits (up to a minute) until the condition holds.
bool Eventually(const std::function<bool()>& condition);

}  // namespace rlx::engine::test
