// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/check.h"
#include "tests/fuzz/accepted.h"
#include "tests/fuzz/targets.h"
#include "tests/support/graphs.h"
#include "tests/support/random_graph.h"
#include "tests/unit/stages/models.h"

namespace rlx::fuzz {
namespace {

void AddOps(std::vector<Module>& out) {
  Rng rng(11);
  for (const OpInfo* info : AllOps()) {
    if (info->sample == nullptr) continue;
    out.push_back({.graph = test::SampleGraph(*info, info->sample(rng))});
  }
}

void AddRandomGraphs(std::vector<Module>& out) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    out.push_back({.graph = test::RandomGraph(
                       seed, {.steps = 2 + static_cast<int>(seed), .symbolic = seed % 3 == 0})});
  }
}

void AddBlocks(std::vector<Module>& out) {
  for (const char* policy : {"", "fusable"}) {
    out.push_back(stages::LlamaBlock(policy));
    out.push_back(stages::BertBlock(policy, "batch", "seq"));
  }
}

}  // namespace

const std::vector<Module>& SeedModules() {
  static const std::vector<Module>& modules = *[] {
    auto* all = new std::vector<Module>;
    AddOps(*all);
    AddRandomGraphs(*all);
    AddBlocks(*all);
    std::erase_if(*all, [](const Module& m) { return !Verify(m, kLimits).ok(); });  // too large
    return all;
  }();
  return modules;
}

std::span<const Target* const> AllTargets() {
  static constexpr const Target* kTargets[] = {&kModuleTarget, &kTextTarget, &kArtifactTarget,
                                               &kOnnxTarget};
  return kTargets;
}

}  // namespace rlx::fuzz
