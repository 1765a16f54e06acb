// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/rule.h"
#include "runtime/device/generate/generators.h"

// Ops that run as kernels generated through the kernel IR.
namespace rlx::cpu {
namespace {

absl::Status Lower(device::ProgramBuilder& out, NodeId id, const LowerTarget& target) {
  const device::Generator* generator = device::FindGenerator(out.graph().node(id).op);
  return generator->generate(out, id, {.lanes = target.lanes});
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

}  // namespace rlx::cpu
