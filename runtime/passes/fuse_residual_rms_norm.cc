// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/fuse_residual_norm.h"
#include "runtime/passes/passes.h"

//   a ──┐
//   b ── add ──┬── rms_norm(·, gamma[, beta])   =>   norm, sum =
//              └── other readers                     fused_residual_rms_norm(a, b, gamma[, beta])
namespace rlx::passes {

absl::Status FuseResidualRmsNorm(Graph& graph, PassContext& context) {
  return FuseResidualNorm(
      graph, context, {OpKind::kRmsNorm, OpKind::kFusedResidualRmsNorm, Rule("residual_rms_norm")});
}

extern const Pass kFuseResidualRmsNormPass = {
    .name = "fuse_residual_rms_norm",
    .run = FuseResidualRmsNorm,
    .needs = {OpKind::kRmsNorm},
    .gate = "FusedResidualRmsNorm",
    .parts = {OpKind::kRmsNorm},
    .fusion = true,
    .after = "fuse_residual_layer_norm",
    .why = "As the layer norm, and for the same reason",
};

}  // namespace rlx::passes
