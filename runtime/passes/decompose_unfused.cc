// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/decompose.h"
#include "runtime/passes/passes.h"

// What decompose_unclaimed left whole for a fusion that did not take it after all:
//
//   gelu(x·w + b), layer_norm(x)   =>   fused_matmul_bias_act, primitives
//
// where the target claims FusedMatMulBiasAct, but neither Activation nor LayerNorm.
namespace rlx::passes {

absl::Status DecomposeUnfused(Graph& graph, PassContext& context) {
  const auto decompose = [&](bool awaited_alone) {
    return DecomposeWhere(
        graph, context,
        [&](const Graph& g, NodeId id) {
          const OpKind op = g.node(id).op;
          return TakenApart(context, op) && (!awaited_alone || context.awaited.Has(op));
        },
        "is not claimed by the target, and nothing took it along");
  };
  RLX_TRY(decompose(/*awaited_alone=*/true));
  if (!context.changed) return absl::OkStatus();
  RLX_TRY(decompose(/*awaited_alone=*/false));  // what that made
  context.changed = true;
  return FoldParts(graph, context);
}

extern const Pass kDecomposeUnfusedPass = {
    .name = "decompose_unfused",
    .run = DecomposeUnfused,
    .after = "fuse_conv_epilogue",
    .why_out =
        [](const PassContext& c) {
          return std::string_view(c.awaited.empty() ? "no fusion waits for what is not claimed"
                                                    : "");
        },
    .why = "After the patterns: what the target lacks and no fusion took along becomes primitives",
};

}  // namespace rlx::passes
