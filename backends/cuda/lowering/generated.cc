// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "backends/cuda/rule.h"
#include "runtime/device/generate/generators.h"

// Ops that run as kernels generated through the kernel IR.
namespace rlx::cuda {
namespace {

absl::Status Lower(device::ProgramBuilder& out, NodeId id) {
  return device::FindGenerator(out.graph().node(id).op)->generate(out, id, kSchedule);
}

}  // namespace

std::span<const Rule> GeneratedRules() {
  static const std::vector<Rule> rules = [] {
    std::vector<Rule> all;
    for (const device::Generator& generator : device::Generators()) {
      all.push_back({generator.kind, "generated kernel", generator.why_not, Lower});
    }
    return all;
  }();
  return rules;
}

}  // namespace rlx::cuda
