// SPDX-License-Identifier: Apache-2.0
#include "runtime/stages/pipeline.h"

#include "runtime/base/text.h"
#include "runtime/passes/passes.h"

namespace rlx::stages {
namespace {

using namespace passes;  // NOLINT: the table names one pass a line

constexpr Pass kPipeline[] = {
    // First, so that readers nobody needs do not forbid a fusion; each rewrite drops its own
    // orphans.
    {"dead_code_elimination", DeadCodeElimination, "", false},
    // Before all that looks into nodes: what a module defines is as good as written out.
    {"inline_custom", InlineCustom, "", false},
    // Before anything that looks for patterns: branches become ordinary nodes.
    {"lower_control_flow", LowerControlFlow, "", false},
    // Before fusion, which knows products as matmul alone.
    {"lower_dot_general", LowerDotGeneral, "", false},
    // Before folding and fusion: what the target lacks becomes primitives that both understand.
    {"decompose_unclaimed", DecomposeUnclaimed, "", false},
    // After all lowering has brought its constants, before patterns ask for them.
    {"constant_folding", ConstantFolding, "", false},
    // After folding made equal constants; one weight expression then has one reader per use.
    {"common_subexpression_elimination", CommonSubexpressionElimination, "", false},
    // The largest patterns first, while the products and norms inside them are still their own.
    {"fuse_attention_block", FuseAttentionBlock, "FusedAttentionBlock", true},
    // After the block, which it takes whole.
    {"fuse_transformer_layer", FuseTransformerLayer, "FusedTransformerLayer", true},
    // Before products take residual sums as their epilogue: a norm saves a pass over memory more.
    {"fuse_residual_layer_norm", FuseResidualLayerNorm, "FusedResidualLN", true},
    {"fuse_residual_rms_norm", FuseResidualRmsNorm, "FusedResidualRmsNorm", true},
    // After the sums have gone into the norms, which a reshape between the two would hide.
    {"fuse_rms_norm_reshape", FuseRmsNormReshape, "", true},
    // Before the gate's silu can become its product's epilogue, and before shared_input_matmul
    // merges gate and up in another order.
    {"fuse_swiglu_dual_matmul", FuseSwigluDualMatMul, "FusedSwiGLU", true},
    // Products with a bias, so that those that share an input can be merged with their biases.
    {"fuse_matmul_bias_act", FuseMatMulBiasAct, "FusedMatMulBiasAct", true},
    {"fuse_shared_input_matmul", FuseSharedInputMatMul, "MatMul", true},
    // After merging, which makes the two halves of one product.
    {"fuse_swiglu", FuseSwiglu, "FusedSwiGLU", true},
    // Whatever activation or residual sum is still next to a product.
    {"fuse_matmul_epilogue", FuseMatMulEpilogue, "FusedMatMulBiasAct", true},
    // After every pattern, which casts would break; before regions, which take the casts in.
    {"mixed_precision", MixedPrecision, "", false},
    // After patterns, whose biases and residuals it would hide; before regions.
    {"lower_broadcast", LowerBroadcast, "", false},
    // After every pattern: regions take the elementwise nodes that are left.
    {"mark_elementwise_regions", MarkElementwiseRegions, "ElementwiseRegion", true},
    // Regions that arrive with a module may exceed the target's limits.
    {"clip_elementwise_regions", ClipElementwiseRegions, "", false},
    {"unfuse_elementwise_regions", UnfuseElementwiseRegions, "", false},
    // What kernels that fold rows alone refuse; before the last, which knows no other form of it.
    {"lower_reduce_axes", LowerReduceAxes, "", false},
    // Last: what the back end refuses as it stands (a type, a shape) is taken apart node by node.
    {"decompose_refused", DecomposeRefused, "", false},
};

bool Gated(const Pass& pass, const ResolvedOptions& options) {
  const std::string gate(pass.gate);
  if (gate.empty()) return false;
  return options.common_kinds.count(gate) > 0 ||
         (!options.gates.empty() && options.gates.count(gate) == 0);
}

bool RegionsAllowed(const ResolvedOptions& options) {
  const std::string claim = "ElementwiseRegion";
  return !options.unfuse_elementwise_regions && options.common_kinds.count(claim) == 0 &&
         (options.claims.empty() || options.claims.count(claim) > 0);
}

}  // namespace

std::span<const Pass> AllPasses() { return kPipeline; }

std::string WhySkipped(const Pass& pass, const ResolvedOptions& options) {
  if (options.disabled_passes.count(std::string(pass.name)) > 0) return "disabled by the request";
  if (pass.fusion && options.skip_fusion) return "skip_fusion is set";
  if (Gated(pass, options)) return Cat("the target does not claim ", pass.gate);
  if (pass.run == DeadCodeElimination && !options.dce) return "dce is off";
  if (pass.run == ConstantFolding && !options.constant_folding) return "constant_folding is off";
  if (pass.run == MixedPrecision && options.policy == PrecisionPolicy{}) return "all in f32";
  if (pass.run == LowerBroadcast && options.fusion_target != FusionTarget::kTpu) {
    return "the target broadcasts";
  }
  if (pass.run == MarkElementwiseRegions && options.unfuse_elementwise_regions) {
    return "unfuse_elementwise_regions is set";
  }
  if (pass.run == UnfuseElementwiseRegions && RegionsAllowed(options)) {
    return "the target runs regions";
  }
  return {};
}

std::vector<Pass> PipelineFor(const ResolvedOptions& options) {
  std::vector<Pass> pipeline;
  for (const Pass& pass : kPipeline) {
    if (WhySkipped(pass, options).empty()) pipeline.push_back(pass);
  }
  return pipeline;
}

}  // namespace rlx::stages
