// SPDX-License-Identifier: Apache-2.0
// Random loops and branches, nested in each other, as Loop and Branch steps on the CPU: against the
// reference evaluator.
#include "backends/cpu/cpu_backend.h"
#include "runtime/base/status.h"
#include "runtime/base/text.h"
#include "tests/support/expected_run.h"
#include "tests/support/oracle.h"
#include "tests/support/property.h"
#include "tests/support/random_loops.h"
#include "tests/support/run_on_backend.h"
#include "tests/support/same_results.h"

namespace rlx::test {
namespace {

::testing::AssertionResult RunsAsTheOracle(const Graph& graph, Rng& rng,
                                           const CompileOptions& options,
                                           Tolerance tolerance = {1e-4, 1e-4}) {
  static const auto backend = cpu::MakeCpuBackend();
  static const auto runner = BackendRunner::Create(*backend, 2);
  if (!runner.ok()) return ::testing::AssertionFailure() << Cat(runner.status());
  const TensorMap inputs = RandomInputs(graph, rng());
  const ExpectedRun want = Expect(graph, inputs);
  const auto got = runner->Run(graph, inputs, options);
  if (::testing::AssertionResult allowed = want.Allows(got.status()); !allowed) return allowed;
  if (!got.ok()) return ::testing::AssertionSuccess();
  for (size_t i = 0; i < want.outputs.size(); ++i) {
    const auto same = CompareToOracle((*got)[i], want.outputs[i], tolerance);
    if (!same) return ::testing::AssertionFailure() << "output " << i << ": " << same.message();
  }
  return ::testing::AssertionSuccess();
}

// Whatever is small would be written out.
CompileOptions Native() {
  CompileOptions options;
  options.kernel_dispatch.force_native_kinds = {{"If", "While", "Scan"}};
  return options;
}

TEST(CpuLoops, RunAsTheOracleSays) {
  CheckGraphs(400, RandomLoops,
              [](const Graph& graph, Rng& rng) { return RunsAsTheOracle(graph, rng, Native()); });
}

TEST(CpuLoops, RunAsTheOracleSaysUnfused) {
  CheckGraphs(100, RandomLoops, [](const Graph& graph, Rng& rng) {
    CompileOptions options = Native();
    options.fusion.skip_fusion = true;
    return RunsAsTheOracle(graph, rng, options);
  });
}

// Nothing doubles a difference: what narrow types round adds up, and decides nothing.
TEST(CpuLoops, RunAsTheOracleSaysInNarrowTypes) {
  CheckGraphs(120, RandomLoops, [](const Graph& graph, Rng& rng) {
    CompileOptions options = Native();
    const bool bf16 = rng() % 3 == 0;
    options.precision = bf16 ? Precision::kBF16 : Precision::kF16;
    return RunsAsTheOracle(graph, rng, options, {0, bf16 ? 0.3 : 0.05});
  });
}

// Some stay, some are written out.
TEST(CpuLoops, RunAsTheOracleSaysByChoice) {
  CheckGraphs(150, RandomLoops,
              [](const Graph& graph, Rng& rng) { return RunsAsTheOracle(graph, rng, {}); });
}

TEST(CpuLoops, RunAsTheOracleSaysWrittenOut) {
  CheckGraphs(40, RandomLoops, [](const Graph& graph, Rng& rng) {
    CompileOptions options;
    options.kernel_dispatch.force_common_kinds = {{"If", "While", "Scan"}};
    return RunsAsTheOracle(graph, rng, options);
  });
}

}  // namespace
}  // namespace rlx::test
