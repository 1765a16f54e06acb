// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/padding_rules.h"

#include <map>

namespace rlx::passes {

PaddingRule PaddingRuleFor(OpKind op) {
  static const std::map<OpKind, PaddingRule> rules = {
      {OpKind::kReshape, PadReshape},
      {OpKind::kTranspose, PadTranspose},
      {OpKind::kNarrow, PadNarrow},
      {OpKind::kConcat, PadConcat},
      {OpKind::kExpand, PadExpand},
      {OpKind::kGather, PadGather},
      {OpKind::kMatMul, PadMatMul},
      {OpKind::kFusedMatMulBiasAct, PadMatMulEpilogue},
      {OpKind::kDequantMatMul, PadPackedMatMul},
      {OpKind::kConv, PadFirstAxis},
      {OpKind::kPool, PadFirstAxis},
      {OpKind::kFusedConvBiasAct, PadConvEpilogue},
      {OpKind::kPoolChannelsLast, PadFirstAxis},
      {OpKind::kReduceSum, PadReduce},
      {OpKind::kReduceMean, PadReduce},
      {OpKind::kReduceMax, PadReduce},
      {OpKind::kReduceMin, PadReduce},
      {OpKind::kReduceProd, PadReduce},
      {OpKind::kSoftmax, PadSoftmax},
      {OpKind::kCumsum, PadCumsum},
      {OpKind::kTopK, PadTopK},
      {OpKind::kLayerNorm, PadRows},
      {OpKind::kRmsNorm, PadRows},
      {OpKind::kFusedResidualLayerNorm, PadRows},
      {OpKind::kFusedResidualRmsNorm, PadRows},
      {OpKind::kFusedSwiglu, PadRows},
      {OpKind::kRope, PadRope},
      {OpKind::kAttention, PadAttention},
      {OpKind::kIf, PadIf},
      {OpKind::kWhile, PadWhile},
      {OpKind::kScan, PadScan},
  };
  if (IsElementwise(op)) return PadElementwise;
  const auto found = rules.find(op);
  return found == rules.end() ? nullptr : found->second;
}

}  // namespace rlx::passes
