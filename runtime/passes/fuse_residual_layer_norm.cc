// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/fuse_residual_norm.h"
#include "runtime/passes/passes.h"

//   a ──┐
//   b ── add ──┬── layer_norm(·, gamma, beta)   =>   norm, sum =
//              └── other readers                     fused_residual_layer_norm(a, b, gamma, beta)
namespace rlx::passes {

absl::Status FuseResidualLayerNorm(Graph& graph, PassContext& context) {
  return FuseResidualNorm(
      graph, context,
      {OpKind::kLayerNorm, OpKind::kFusedResidualLayerNorm, Rule("residual_layer_norm")});
}

extern const Pass kFuseResidualLayerNormPass = {
    .name = "fuse_residual_layer_norm",
    .run = FuseResidualLayerNorm,
    .needs = {OpKind::kLayerNorm},
    .gate = "FusedResidualLN",
    .parts = {OpKind::kLayerNorm},
    .fusion = true,
    .after = "fuse_transformer_layer",
    .why =
        "Before products take residual sums as their epilogue: a norm saves a pass over memory "
        "more",
};

}  // namespace rlx::passes
