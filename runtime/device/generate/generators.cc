// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/generate/generators.h"

#include <vector>

#include "runtime/device/generate/emit_op.h"
#include "runtime/ir/op_info.h"

namespace rlx::device {
namespace {

std::vector<Generator> MakeTable() {
  std::vector<Generator> table = {
      {OpKind::kSoftmax, WhyNotSoftmax, GenerateSoftmax},
      {OpKind::kCumsum, WhyNotCumsum, GenerateCumsum},
      {OpKind::kConv, WhyNotWindow, GenerateConv},
      {OpKind::kPool, WhyNotWindow, GeneratePool},
      {OpKind::kFusedSwiglu, WhyNotSwiglu, GenerateSwiglu},
  };
  for (const OpInfo* op : AllOps()) {
    if (IsElementwise(op->kind))
      table.push_back({op->kind, WhyNotElementwise, GenerateElementwise});
  }
  for (OpKind kind :
       {OpKind::kReshape, OpKind::kTranspose, OpKind::kNarrow, OpKind::kConcat, OpKind::kExpand}) {
    table.push_back({kind, WhyNotMovement, GenerateMovement});
  }
  for (OpKind kind : {OpKind::kReduceSum, OpKind::kReduceMean, OpKind::kReduceMax,
                      OpKind::kReduceMin, OpKind::kReduceProd}) {
    table.push_back({kind, WhyNotReduction, GenerateReduction});
  }
  for (OpKind kind : {OpKind::kLayerNorm, OpKind::kRmsNorm, OpKind::kFusedResidualLayerNorm,
                      OpKind::kFusedResidualRmsNorm}) {
    table.push_back({kind, WhyNotNormalization, GenerateNormalization});
  }
  for (OpKind kind : {OpKind::kMatMul, OpKind::kFusedMatMulBiasAct}) {
    table.push_back({kind, WhyNotMatMul, GenerateMatMul});
  }
  return table;
}

}  // namespace

std::span<const Generator> Generators() {
  static const std::vector<Generator> table = MakeTable();
  return table;
}

const Generator* FindGenerator(OpKind kind) {
  for (const Generator& generator : Generators()) {
    if (generator.kind == kind) return &generator;
  }
  return nullptr;
}

}  // namespace rlx::device
