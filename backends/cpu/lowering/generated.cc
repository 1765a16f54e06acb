// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/rule.h"
#include "runtime/device/generate/generate.h"
#include "runtime/ir/op_info.h"

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
  const auto add = [&](OpKind kind, auto refuse, auto lower) {
    rules.push_back({kind, kHow, refuse, lower});
  };
  for (const OpInfo* op : AllOps()) {
    if (IsElementwise(op->kind))
      add(op->kind, device::WhyNotElementwise, Lower<device::GenerateElementwise>);
  }
  for (OpKind kind :
       {OpKind::kReshape, OpKind::kTranspose, OpKind::kNarrow, OpKind::kConcat, OpKind::kExpand}) {
    add(kind, device::WhyNotMovement, Lower<device::GenerateMovement>);
  }
  for (OpKind kind : {OpKind::kReduceSum, OpKind::kReduceMean, OpKind::kReduceMax,
                      OpKind::kReduceMin, OpKind::kReduceProd}) {
    add(kind, device::WhyNotReduction, Lower<device::GenerateReduction>);
  }
  for (OpKind kind : {OpKind::kLayerNorm, OpKind::kRmsNorm, OpKind::kFusedResidualLayerNorm,
                      OpKind::kFusedResidualRmsNorm}) {
    add(kind, device::WhyNotNormalization, Lower<device::GenerateNormalization>);
  }
  for (OpKind kind : {OpKind::kMatMul, OpKind::kFusedMatMulBiasAct}) {
    add(kind, device::WhyNotMatMul, Lower<device::GenerateMatMul>);
  }
  add(OpKind::kSoftmax, device::WhyNotSoftmax, Lower<device::GenerateSoftmax>);
  add(OpKind::kCumsum, device::WhyNotCumsum, Lower<device::GenerateCumsum>);
  add(OpKind::kConv, device::WhyNotWindow, Lower<device::GenerateConv>);
  add(OpKind::kPool, device::WhyNotWindow, Lower<device::GeneratePool>);
  add(OpKind::kFusedSwiglu, device::WhyNotSwiglu, Lower<device::GenerateSwiglu>);
  return rules;
}

}  // namespace

std::span<const Rule> GeneratedRules() {
  static const std::vector<Rule> rules = MakeRules();
  return rules;
}

}  // namespace rlx::cpu
