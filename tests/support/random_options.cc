// SPDX-License-Identifier: Apache-2.0
#include "tests/support/random_options.h"

#include "runtime/passes/precision.h"
#include "runtime/stages/pipeline.h"
#include "tests/support/random_graph.h"

namespace rlx::test {

std::set<std::string> RandomClaims(Rng& rng, uint64_t chance) {
  std::set<std::string> claims;
  for (const OpInfo* op : AllOps()) {
    if (op->level == Stage::kMir && rng() % 4 < chance) claims.emplace(op->claim);
  }
  return claims;
}

CompileOptions RandomSwitches(Rng& rng) {
  CompileOptions options;
  const auto coin = [&] { return rng() % 2 == 0; };
  options.dce = coin();
  options.constant_folding = coin();
  options.verbose = coin();
  options.fusion.skip_fusion = rng() % 4 == 0;
  options.fusion.unfuse_elementwise_regions = rng() % 4 == 0;
  if (coin()) {
    options.fusion.limits =
        FusionLimits{static_cast<uint32_t>(1 + rng() % 8), static_cast<uint32_t>(1 + rng() % 6)};
  }
  if (coin()) options.fusion_target = static_cast<FusionTarget>(rng() % kFusionTargetCount);
  if (coin()) options.arena_alignment = int64_t{16} << (rng() % 9);
  options.disabled_passes.emplace();
  for (const passes::Pass& pass : stages::AllPasses()) {
    if (pass.fusion && rng() % 6 == 0) options.disabled_passes->emplace(pass.name);
  }
  return options;
}

CompileOptions RandomOptions(Rng& rng) {
  CompileOptions options = RandomSwitches(rng);
  const auto coin = [&] { return rng() % 2 == 0; };
  for (const passes::Pass& pass : stages::AllPasses()) {
    if (rng() % 6 == 0) options.disabled_passes->emplace(pass.name);
  }
  options.kernel_dispatch.policy = static_cast<DispatchPolicy>(rng() % 3);
  if (coin()) options.supported_ops = RandomClaims(rng, 3);
  if (coin()) options.kernel_dispatch.force_common_kinds = RandomClaims(rng, 1);
  if (coin()) options.kernel_dispatch.force_native_kinds = RandomClaims(rng, 1);
  return options;
}

void DrawPrecision(Rng& rng, CompileOptions& options) {
  const auto any = [&] { return static_cast<Precision>(rng() % 3); };
  if (rng() % 4 == 0) options.precision = any();
  if (rng() % 4 == 0) return;
  PrecisionPolicy policy{static_cast<PrecisionPolicyKind>(rng() % 6), {}};
  if (policy.kind == PrecisionPolicyKind::kCustom) {
    for (std::string_view name : passes::PrecisionClassNames()) {
      if (rng() % 2 == 0) policy.custom.emplace(name, any());
    }
  }
  options.policy = std::move(policy);
}

void DrawBinding(const Graph& graph, Rng& rng, uint64_t chance, CompileOptions& options) {
  DimBinding binding = RandomBinding(graph, rng);
  std::erase_if(binding, [&](const auto&) { return rng() % 4 >= chance; });
  options.dim_binding = std::move(binding);
}

}  // namespace rlx::test
