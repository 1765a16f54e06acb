// SPDX-License-Identifier: Apache-2.0
// Every block of HIR, under either fusion policy, with sizes and with symbols, on every device that
// modules are compiled for: it compiles, nothing is left that the target does not run, and it means
// what it meant.
#include <functional>
#include <set>

#include "runtime/base/text.h"
#include "runtime/ir/lower_hir.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/text.h"
#include "runtime/stages/stages.h"
#include "tests/support/random_graph.h"
#include "tests/support/random_hir.h"
#include "tests/support/same_results.h"

namespace rlx::stages {
namespace {

constexpr FusionPolicy kPolicies[] = {FusionPolicy::kDirect, FusionPolicy::kFusable};
constexpr uint64_t kSeeds = 150;

Module OneBlock(uint64_t seed, FusionPolicy policy, bool symbolic) {
  return test::RandomHir(
      seed, policy,
      {.steps = 1, .symbolic = symbolic, .own_blocks = false, .weights_are_params = true});
}

std::string Unsupported(const DispatchReport& report) {
  return Join(report.unsupported, "; ",
              [](std::string& out, const auto& node) { out += Cat(node.node, ": ", node.why); });
}

// The module compiled without a back end, by the tables of the device's target.
absl::StatusOr<CompileResult> CompileFor(DeviceKind device, const Module& module) {
  auto result = CompileHirStages(module, {.device = device, .until = Stage::kLir});
  EXPECT_TRUE(result.ok()) << result.status().ToString();
  if (result.ok()) {
    EXPECT_TRUE(result->dispatch.compile_ready) << Unsupported(result->dispatch);
  }
  return result;
}

void ForEachDevice(const std::function<void(DeviceKind)>& fn) {
  for (int device = 0; device < kDeviceKindCount && !testing::Test::HasFailure(); ++device) {
    SCOPED_TRACE(Name(static_cast<DeviceKind>(device)));
    fn(static_cast<DeviceKind>(device));
  }
}

void ForEachModule(bool symbolic, const std::function<void(uint64_t, const Module&)>& fn) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const FusionPolicy policy : kPolicies) {
      const Module module = OneBlock(seed, policy, symbolic);
      SCOPED_TRACE(Cat("seed ", seed, "\n", Print(module, {.full_constants = false})));
      fn(seed, module);
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST(HirDevices, TheModulesHoldEveryBlock) {
  std::set<OpKind> held;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const Module module = OneBlock(seed, FusionPolicy::kDirect, true);
    for (const Node& node : module.graph.nodes()) held.insert(node.op);
  }
  for (const OpInfo* info : AllOps()) {
    EXPECT_TRUE(info->level != Stage::kHir || held.count(info->kind) > 0)
        << info->name << " is never drawn";
  }
}

TEST(HirDevices, EveryBlockRunsOnEveryDevice) {
  ForEachModule(false, [](uint64_t seed, const Module& module) {
    const auto want = LowerHir(module);
    ASSERT_TRUE(want.ok()) << want.status().ToString();
    ForEachDevice([&](DeviceKind device) {
      const auto result = CompileFor(device, module);
      if (!result.ok()) return;
      EXPECT_TRUE(test::SameResults(*want, result->lir.graph, seed));
    });
  });
}

// Ready before the sizes are known and after, and the same numbers as with sizes from the start.
TEST(HirDevices, EveryBlockRunsOnEveryDeviceWithSymbols) {
  ForEachModule(true, [](uint64_t seed, const Module& module) {
    Rng rng(seed);
    const DimBinding binding = test::RandomBinding(module.graph, rng);
    auto bound = BindSymbols(module.graph, binding);
    ASSERT_TRUE(bound.ok()) << bound.status().ToString();
    const auto want = LowerHir({Stage::kHir, module.policy, *std::move(bound)});
    ASSERT_TRUE(want.ok()) << want.status().ToString();
    ForEachDevice([&](DeviceKind device) {
      const auto symbolic = CompileFor(device, module);
      if (!symbolic.ok()) return;
      const auto sized = symbolic->Specialize(binding, nullptr, {});
      ASSERT_TRUE(sized.ok()) << sized.status().ToString();
      EXPECT_TRUE(sized->dispatch.compile_ready) << Unsupported(sized->dispatch);
      EXPECT_TRUE(test::SameResults(*want, sized->lir.graph, seed));
    });
  });
}

// As modules come whose author names no bounds.
TEST(HirDevices, EveryBlockRunsOnEveryDeviceWithoutBounds) {
  ForEachModule(true, [](uint64_t, Module module) {
    for (auto& [name, range] : module.graph.symbols) range = {};
    ForEachDevice([&](DeviceKind device) { (void)CompileFor(device, module); });
  });
}

}  // namespace
}  // namespace rlx::stages
