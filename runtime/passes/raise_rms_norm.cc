// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/passes.h"
#include "runtime/passes/raise_norm.h"

//   x ─┬─ ·² ─ mean ─ add eps ─ rsqrt ─┐
//      └────────────────────────────── mul ─[mul gamma]   =>   rms_norm(x, gamma) {axis, eps}
// in the spellings of a layer norm.
namespace rlx::passes {

absl::Status RaiseRmsNorm(Graph& graph, PassContext& context) {
  return RaiseNorm(graph, context,
                   {.norm = OpKind::kRmsNorm, .centred = false, .rule = Rule("raise_rms_norm")});
}

extern const Pass kRaiseRmsNormPass = {
    .name = "raise_rms_norm",
    .run = RaiseRmsNorm,
    .needs = {OpKind::kSqrt, OpKind::kRsqrt},
    .gate = "RmsNorm",
    .fusion = true,
    .after = "raise_layer_norm",
    .why = "After layer norms have taken their own",
};

}  // namespace rlx::passes
