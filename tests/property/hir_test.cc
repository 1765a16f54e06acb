// SPDX-License-Identifier: Apache-2.0
// Random HIR modules: both policies lower to the same numbers, and the whole pipeline keeps them on
// every kind of device.
#include "runtime/ir/lower_hir.h"
#include "runtime/ir/verify.h"
#include "runtime/stages/stages.h"
#include "tests/support/random_graph.h"
#include "tests/support/random_hir.h"
#include "tests/support/same_results.h"

namespace rlx::stages {
namespace {

constexpr FusionPolicy kPolicies[] = {FusionPolicy::kDirect, FusionPolicy::kFusable};

// The module in primitives, under the other policy than the one tried: what is compared with.
Graph Lowered(uint64_t seed, FusionPolicy policy, const test::RandomHirOptions& options) {
  const auto graph = LowerHir(test::RandomHir(seed, policy, options));
  EXPECT_TRUE(graph.ok()) << graph.status().ToString();
  return graph.ok() ? *graph : Graph{};
}

void ExpectKept(uint64_t seed, const test::RandomHirOptions& options, CompileRequest request) {
  for (const FusionPolicy policy : kPolicies) {
    const Module module = test::RandomHir(seed, policy, options);
    SCOPED_TRACE(Cat("seed ", seed, "\n", Print(module, {.full_constants = false})));
    const auto result = CompileHirStages(module, request);
    ASSERT_TRUE(result.ok()) << result.status().ToString();
    const FusionPolicy other =
        policy == FusionPolicy::kDirect ? FusionPolicy::kFusable : FusionPolicy::kDirect;
    EXPECT_TRUE(test::SameResults(Lowered(seed, other, options), result->lir.graph, seed))
        << Print(result->lir.graph, {.full_constants = false});
    for (const Node& node : result->lir.graph.nodes()) {
      ASSERT_FALSE(node.sources.empty()) << NodeLabel(-1, node);
      EXPECT_EQ(node.sources[0].kind, SourceRef::Kind::kHir);
      EXPECT_FALSE(node.sources[0].name.empty());
    }
  }
}

TEST(Hir, ModulesHoldEveryBlock) {
  const std::vector<OpKind> drawn = test::RandomHirBlocks();
  for (const OpInfo* info : AllOps()) {
    if (info->level != Stage::kHir) continue;
    EXPECT_TRUE(std::ranges::binary_search(drawn, info->kind)) << info->name << " is never drawn";
  }
}

TEST(Hir, BothPoliciesMeanTheSame) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    EXPECT_TRUE(test::SameResults(Lowered(seed, FusionPolicy::kDirect, {}),
                                  Lowered(seed, FusionPolicy::kFusable, {}), seed));
    if (HasFailure()) return;
  }
}

TEST(Hir, ThePipelineKeepsTheMeaningForEveryDevice) {
  for (uint64_t seed = 1; seed <= 120; ++seed) {
    Rng rng(seed);
    CompileRequest request;
    request.device = static_cast<DeviceKind>(seed % kDeviceKindCount);
    request.options.fusion.skip_fusion = rng() % 5 == 0;
    request.options.fusion.unfuse_elementwise_regions = rng() % 5 == 0;
    request.options.dce = rng() % 2 == 0;
    request.options.constant_folding = rng() % 2 == 0;
    ExpectKept(seed, {.steps = 6, .dtype = rng() % 2 == 0 ? DType::kF32 : DType::kF64}, request);
    if (HasFailure()) return;
  }
}

// A block by itself, under either policy, with sizes or symbols, leaves nothing that its author
// could have written better.
TEST(Hir, EveryBlockAloneIsClean) {
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    CompileRequest request{.device = static_cast<DeviceKind>(seed % kDeviceKindCount),
                           .until = Stage::kLir};
    request.options.assert_fusion_clean = true;
    for (const FusionPolicy policy : kPolicies) {
      const Module module = test::RandomHir(
          seed, policy,
          {.steps = 1, .symbolic = seed % 3 == 0, .own_blocks = false, .weights_are_params = true});
      const auto result = CompileHirStages(module, request);
      ASSERT_TRUE(result.ok()) << "seed " << seed << ": " << result.status().ToString() << "\n"
                               << Print(module, {.full_constants = false});
    }
  }
}

// Taken apart to the last primitive.
TEST(Hir, ThePipelineKeepsTheMeaningWhereLittleIsClaimed) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    CompileRequest request;
    request.options.supported_ops = std::set<std::string>{"MatMul", "Binary"};
    ExpectKept(seed, {}, request);
    if (HasFailure()) return;
  }
}

// Bound after the compile, or before lowering: the same numbers.
TEST(Hir, SymbolsBindEarlyOrLate) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    for (const FusionPolicy policy : kPolicies) {
      const Module module = test::RandomHir(seed, policy, {.symbolic = true});
      SCOPED_TRACE(Cat("seed ", seed, "\n", Print(module, {.full_constants = false})));
      Rng rng(seed);
      const DimBinding binding = test::RandomBinding(module.graph, rng);
      auto early = BindSymbols(module.graph, binding);
      ASSERT_TRUE(early.ok()) << early.status().ToString();
      const auto want = LowerHir({Stage::kHir, FusionPolicy::kFusable, *std::move(early)});
      ASSERT_TRUE(want.ok()) << want.status().ToString();
      const auto symbolic = CompileHirStages(module, {});
      ASSERT_TRUE(symbolic.ok()) << symbolic.status().ToString();
      const auto late = symbolic->Specialize(binding, nullptr, {});
      ASSERT_TRUE(late.ok()) << late.status().ToString();
      EXPECT_TRUE(test::SameResults(*want, late->lir.graph, seed));
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace rlx::stages
