// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/passes.h"
#include "runtime/passes/raise_norm.h"

//   x ─┬─ mean ─┐
//      └─────── sub ─┬─ ·² ─ mean ─ add eps ─ sqrt ─┐
//                    └───────────────────────────── div ─[mul gamma]─[add beta]
//        =>  layer_norm(x, gamma, beta) {axis, eps}
//
// The square is a product or a power, the division a product by rsqrt or by 1/sqrt, gamma may be in
// that product, and as TensorFlow has it the mean goes off last: x·r + (beta - mean·r).
namespace rlx::passes {

absl::Status RaiseLayerNorm(Graph& graph, PassContext& context) {
  return RaiseNorm(graph, context,
                   {.norm = OpKind::kLayerNorm, .centred = true, .rule = Rule("raise_layer_norm")});
}

extern const Pass kRaiseLayerNormPass = {
    .name = "raise_layer_norm",
    .run = RaiseLayerNorm,
    .needs = {OpKind::kSqrt, OpKind::kRsqrt},
    .gate = "LayerNorm",
    .fusion = true,
    .after = "fold_batch_norm",
    .why = "Before the rms norm, which a norm without its mean looks like",
};

}  // namespace rlx::passes
