// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/check.h"
#include "tests/fuzz/accepted.h"
#include "tests/fuzz/targets.h"
#include "tests/support/graphs.h"
#include "tests/support/random_graph.h"
#include "tests/unit/stages/models.h"

namespace rlx::fuzz {
namespace {

void AddOps(uint64_t number, std::vector<Module>& out) {
  Rng rng(number);
  for (const OpInfo* info : AllOps()) {
    if (info->sample == nullptr) continue;
    out.push_back({.graph = test::SampleGraph(*info, info->sample(rng))});
  }
}

void AddRandomGraphs(uint64_t number, std::vector<Module>& out) {
  for (int i = 1; i <= 12; ++i) {
    out.push_back({.graph = test::RandomGraph(number * 100 + static_cast<uint64_t>(i),
                                              {.steps = 2 + i, .symbolic = i % 3 == 0})});
  }
}

void AddBlocks(std::vector<Module>& out) {
  for (const char* policy : {"", "fusable"}) {
    out.push_back(stages::LlamaBlock(policy));
    out.push_back(stages::BertBlock(policy, "batch", "seq"));
  }
}

}  // namespace

std::vector<Module> SeedModules(uint64_t number) {
  std::vector<Module> all;
  AddOps(number, all);
  AddRandomGraphs(number, all);
  AddBlocks(all);
  std::erase_if(all, [](const Module& m) { return !Verify(m, kLimits).ok(); });  // too large
  return all;
}

std::span<const Target* const> AllTargets() {
  static constexpr const Target* kTargets[] = {&kModuleTarget, &kTextTarget, &kLirTarget,
                                               &kArtifactTarget, &kOnnxTarget};
  return kTargets;
}

}  // namespace rlx::fuzz
