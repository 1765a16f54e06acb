// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace rlx {

// Every op of HIR and MIR. What an op *is* stands in its row (op_info.h); nothing outside the rows
// and the back ends' claims switches on this enum. The numbers are internal: wire and text use
// names.
enum class OpKind : uint16_t {
  // Leaves.
  kInput,
  kParam,
  kConstant,
  // Elementwise, one operand.
  kNeg,
  kAbs,
  kExp,
  kLog,
  kSqrt,
  kRsqrt,
  kSin,
  kCos,
  kTan,
  kAtan,
  kTanh,
  kErf,
  kSigmoid,
  kRelu,
  kGelu,
  kGeluTanh,
  kSilu,
  kRound,
  kFloor,
  kCeil,
  kLogicalNot,
  kCast,
  // Elementwise, two operands (numpy broadcasting).
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMax,
  kMin,
  kPow,
  kLogicalAnd,
  kLogicalOr,
  // Comparison (numpy broadcasting, Bool result).
  kEq,
  kNe,
  kLt,
  kLe,
  kGt,
  kGe,
  kWhere,
  kElementwiseRegion,
  // Contraction.
  kMatMul,
  kDotGeneral,
  kConv,
  kPool,
  kDequantizeBlocks,
  kDequantMatMul,
  kDequantMoeWeights,
  kDequantGroupedMatMul,
  // Normalisation, attention, sequence.
  kLayerNorm,
  kRmsNorm,
  kBatchNorm,
  kSoftmax,
  kAttention,
  kRope,
  kCumsum,
  kTopK,
  // Movement.
  kReshape,
  kTranspose,
  kNarrow,
  kConcat,
  kExpand,
  kGather,
  // Reduction.
  kReduceSum,
  kReduceMean,
  kReduceMax,
  kReduceMin,
  kReduceProd,
  // Control flow.
  kIf,
  // Defined by the module.
  kCustom,
  // Made by passes, or by direct lowering of HIR.
  kFusedMatMulBiasAct,
  kFusedResidualLayerNorm,
  kFusedResidualRmsNorm,
  kFusedSwiglu,
  kFusedAttentionBlock,
  kFusedTransformerLayer,
  // HIR blocks.
  kHirLinear,
  kHirLinearFused,
  kHirSharedLinearPair,
  kHirSwiglu,
  kHirResidualRmsNorm,
  kHirResidualLayerNorm,
  kHirAttention,
  kHirRope,
  kHirRmsNorm,
  kHirLayerNorm,
  kHirDequantMatMul,
  kHirDepthwiseConv1dCausal,
  kHirLlamaDecoderBlock,
  kHirBertEncoderBlock,
  kHirQwen35MtpHead,
};
inline constexpr int kOpKindCount = static_cast<int>(OpKind::kHirQwen35MtpHead) + 1;

}  // namespace rlx
