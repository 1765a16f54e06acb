// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "runtime/ir/op_info.h"

namespace rlx {

// One list of rows per file of this folder; op_table.cc puts them in OpKind order and checks that
// every kind has exactly one row.
std::span<const OpInfo> LeafOps();             // leaf.cc
std::span<const OpInfo> UnaryOps();            // unary.cc
std::span<const OpInfo> BinaryOps();           // binary.cc: arithmetic, logic, comparison, where
std::span<const OpInfo> RegionOps();           // region.cc: elementwise_region
std::span<const OpInfo> MovementOps();         // movement.cc
std::span<const OpInfo> ReductionOps();        // reduction.cc: reduce_*, cumsum, topk
std::span<const OpInfo> ControlFlowOps();      // control_flow.cc
std::span<const OpInfo> MatMulOps();           // matmul.cc: matmul, dot_general
std::span<const OpInfo> ConvolutionOps();      // convolution.cc: conv, pool
std::span<const OpInfo> QuantizedWeightOps();  // quantized_weights.cc
std::span<const OpInfo> NormalizationOps();    // normalization.cc: layer_norm … softmax
std::span<const OpInfo> AttentionOps();        // attention.cc: attention, rope
std::span<const OpInfo> FusedOps();            // fused.cc
std::span<const OpInfo> FusedBlockOps();       // fused_blocks.cc: attention block, encoder layer
std::span<const OpInfo> HirLinearOps();        // hir_linear.cc: linear … swiglu, norms
std::span<const OpInfo> CustomOps();           // custom.cc
std::span<const OpInfo> HirAttentionOps();     // hir_attention.cc: attention, rope
std::span<const OpInfo> HirConvOps();          // hir_conv.cc: depthwise_conv1d_causal
std::span<const OpInfo> HirLlamaOps();         // hir_llama.cc
std::span<const OpInfo> HirBertOps();          // hir_bert.cc
std::span<const OpInfo> HirQwenOps();          // hir_qwen.cc

}  // namespace rlx
