// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/passes/pass.h"

// Every pass, one file each; its pattern is drawn there. Their order stands in stages/pipeline.cc.
namespace rlx::passes {

// Lowering and cleaning.
absl::Status DeadCodeElimination(Graph& graph, PassContext& context);
absl::Status InlineCustom(Graph& graph, PassContext& context);
absl::Status LowerControlFlow(Graph& graph, PassContext& context);
absl::Status LowerDotGeneral(Graph& graph, PassContext& context);
absl::Status DecomposeUnclaimed(Graph& graph, PassContext& context);
absl::Status ConstantFolding(Graph& graph, PassContext& context);
absl::Status CommonSubexpressionElimination(Graph& graph, PassContext& context);
absl::Status MixedPrecision(Graph& graph, PassContext& context);
absl::Status LowerBroadcast(Graph& graph, PassContext& context);
absl::Status LowerReduceAxes(Graph& graph, PassContext& context);

// Pattern fusion: several nodes become one named op.
absl::Status FuseAttentionBlock(Graph& graph, PassContext& context);
absl::Status FuseTransformerLayer(Graph& graph, PassContext& context);
absl::Status FuseResidualLayerNorm(Graph& graph, PassContext& context);
absl::Status FuseResidualRmsNorm(Graph& graph, PassContext& context);
absl::Status FuseRmsNormReshape(Graph& graph, PassContext& context);
absl::Status FuseSwigluDualMatMul(Graph& graph, PassContext& context);
absl::Status FuseMatMulBiasAct(Graph& graph, PassContext& context);
absl::Status FuseSharedInputMatMul(Graph& graph, PassContext& context);
absl::Status FuseSwiglu(Graph& graph, PassContext& context);
absl::Status FuseMatMulEpilogue(Graph& graph, PassContext& context);

// Elementwise regions: nested graphs that become one generated kernel.
absl::Status MarkElementwiseRegions(Graph& graph, PassContext& context);
absl::Status ClipElementwiseRegions(Graph& graph, PassContext& context);
absl::Status UnfuseElementwiseRegions(Graph& graph, PassContext& context);
absl::Status DecomposeRefused(Graph& graph, PassContext& context);

}  // namespace rlx::passes
