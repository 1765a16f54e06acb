// SPDX-License-Identifier: Apache-2.0
// The whole pipeline on random graphs, for every device and under changing options.
#include "runtime/ir/verify.h"
#include "runtime/stages/pipeline.h"
#include "tests/support/random_graph.h"
#include "tests/support/same_results.h"

namespace rlx::stages {
namespace {

using test::ForEachRandomGraph;

void CheckCompile(const Graph& graph, const CompileOptions& options, DeviceKind device, Rng& rng) {
  CompileRequest request;
  request.device = device;
  request.options = options;
  const auto result = CompileGraphStages(graph, request);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_EQ(result->fusion.nodes_after, result->lir.graph.size());
  for (const Remark& remark : result->fusion.remarks) {
    EXPECT_FALSE(remark.pass.empty() || remark.rule.empty() || remark.message.empty());
    EXPECT_EQ(remark.kind == Remark::Kind::kMissed, !remark.reason.empty());
    EXPECT_GE(remark.bytes_saved, 0);
  }
  EXPECT_TRUE(test::SameResults(graph, result->lir.graph, rng()))
      << Print(result->lir.graph, {.full_constants = false});
}

// A random part of the claims of MIR ops, each taken with `chance` in four.
std::set<std::string> RandomClaims(Rng& rng, uint64_t chance) {
  std::set<std::string> claims;
  for (const OpInfo* op : AllOps()) {
    if (op->level == Stage::kMir && rng() % 4 < chance) claims.emplace(op->claim);
  }
  return claims;
}

TEST(Pipeline, KeepsTheMeaningForEveryDevice) {
  ForEachRandomGraph(60, {.steps = 24}, [](const Graph& graph, Rng& rng) {
    for (int d = 0; d < kDeviceKindCount; ++d) {
      SCOPED_TRACE(Name(static_cast<DeviceKind>(d)));
      CheckCompile(graph, {}, static_cast<DeviceKind>(d), rng);
    }
  });
}

CompileOptions RandomOptions(Rng& rng) {
  CompileOptions options;
  const auto coin = [&] { return rng() % 2 == 0; };
  options.dce = coin();
  options.constant_folding = coin();
  options.fusion.skip_fusion = rng() % 4 == 0;
  options.fusion.unfuse_elementwise_regions = rng() % 4 == 0;
  if (coin()) {
    options.fusion.limits =
        FusionLimits{static_cast<uint32_t>(1 + rng() % 8), static_cast<uint32_t>(1 + rng() % 6)};
  }
  options.kernel_dispatch.policy = static_cast<DispatchPolicy>(rng() % 3);
  options.disabled_passes.emplace();
  for (const passes::Pass& pass : AllPasses()) {
    if (rng() % 6 == 0) options.disabled_passes->emplace(pass.name);
  }
  if (coin()) options.supported_ops = RandomClaims(rng, 3);
  return options;
}

TEST(Pipeline, KeepsTheMeaningUnderAnyOptions) {
  ForEachRandomGraph(300, {.steps = 24}, [](const Graph& graph, Rng& rng) {
    CheckCompile(graph, RandomOptions(rng), static_cast<DeviceKind>(rng() % kDeviceKindCount), rng);
  });
}

// Compiled with symbols and bound afterwards, or bound at once: the same results.
TEST(Pipeline, KeepsTheMeaningOfSymbols) {
  ForEachRandomGraph(150, {.symbolic = true}, [](const Graph& graph, Rng& rng) {
    const DimBinding binding = test::RandomBinding(graph, rng);
    const auto bound = BindSymbols(graph, binding);
    ASSERT_TRUE(bound.ok()) << bound.status().ToString();
    CompileRequest request;
    const auto symbolic = CompileGraphStages(graph, request);
    ASSERT_TRUE(symbolic.ok()) << symbolic.status().ToString();
    const auto later = symbolic->Specialize(binding, nullptr, {});
    ASSERT_TRUE(later.ok()) << later.status().ToString();
    request.options.dim_binding = binding;
    const auto at_once = CompileGraphStages(graph, request);
    ASSERT_TRUE(at_once.ok()) << at_once.status().ToString();
    const uint64_t seed = rng();
    EXPECT_TRUE(test::SameResults(*bound, later->lir.graph, seed));
    EXPECT_TRUE(test::SameResults(*bound, at_once->lir.graph, seed));
    EXPECT_TRUE(later->lir.plan.dynamic_symbols.empty());
  });
}

// What is left unclaimed has no decomposition.
TEST(Pipeline, LeavesNothingUnclaimedThatCanBeTakenApart) {
  ForEachRandomGraph(150, {}, [](const Graph& graph, Rng& rng) {
    CompileRequest request;
    request.options.supported_ops = RandomClaims(rng, 2);
    const auto result = CompileGraphStages(graph, request);
    ASSERT_TRUE(result.ok()) << result.status().ToString();
    for (const Node& node : result->lir.graph.nodes()) {
      const OpInfo& op = Info(node.op);
      const bool claimed = request.options.supported_ops->count(std::string(op.claim)) > 0;
      EXPECT_TRUE(claimed || op.decompose == nullptr || IsLeaf(node.op)) << op.name;
    }
  });
}

}  // namespace
}  // namespace rlx::stages
