// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/rule.h"
#include "runtime/device/generate/generate.h"

// Ops that run as kernels generated through the kernel IR.
namespace rlx::cpu {
namespace {

using Generate = absl::Status (*)(device::ProgramBuilder&, NodeId, const device::Schedule&);

template <Generate generate>
absl::Status Lower(device::ProgramBuilder& out, NodeId id, const LowerTarget& target) {
  return generate(out, id, {.lanes = target.lanes});
}

constexpr std::string_view kHow = "generated kernel";

std::vector<Rule> MakeRules() {
  std::vector<Rule> rules;
  const auto add = [&](OpKind first, OpKind last, auto refuse, auto lower) {
    for (int k = static_cast<int>(first); k <= static_cast<int>(last); ++k) {
      rules.push_back({static_cast<OpKind>(k), kHow, refuse, lower});
    }
  };
  add(OpKind::kNeg, OpKind::kElementwiseRegion, device::WhyNotElementwise,
      Lower<device::GenerateElementwise>);
  add(OpKind::kReshape, OpKind::kExpand, device::WhyNotMovement, Lower<device::GenerateMovement>);
  add(OpKind::kReduceSum, OpKind::kReduceProd, device::WhyNotReduction,
      Lower<device::GenerateReduction>);
  for (OpKind kind : {OpKind::kLayerNorm, OpKind::kRmsNorm, OpKind::kFusedResidualLayerNorm,
                      OpKind::kFusedResidualRmsNorm}) {
    add(kind, kind, device::WhyNotNormalization, Lower<device::GenerateNormalization>);
  }
  for (OpKind kind : {OpKind::kMatMul, OpKind::kFusedMatMulBiasAct}) {
    add(kind, kind, device::WhyNotMatMul, Lower<device::GenerateMatMul>);
  }
  add(OpKind::kSoftmax, OpKind::kSoftmax, device::WhyNotSoftmax, Lower<device::GenerateSoftmax>);
  add(OpKind::kCumsum, OpKind::kCumsum, device::WhyNotCumsum, Lower<device::GenerateCumsum>);
  add(OpKind::kConv, OpKind::kConv, device::WhyNotWindow, Lower<device::GenerateConv>);
  add(OpKind::kPool, OpKind::kPool, device::WhyNotWindow, Lower<device::GeneratePool>);
  add(OpKind::kFusedSwiglu, OpKind::kFusedSwiglu, device::WhyNotSwiglu,
      Lower<device::GenerateSwiglu>);
  return rules;
}

}  // namespace

std::span<const Rule> GeneratedRules() {
  static const std::vector<Rule> rules = MakeRules();
  return rules;
}

}  // namespace rlx::cpu
