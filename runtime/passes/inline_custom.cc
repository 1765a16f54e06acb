// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/op_info.h"
#include "runtime/passes/decompose.h"
#include "runtime/passes/passes.h"

//   custom(a, b..) { body }   =>   body(a, b..)
// also inside what was inlined: fusion sees through what a module defines.
namespace rlx::passes {

absl::Status InlineCustom(Graph& graph, PassContext& context) {
  return DecomposeWhere(
      graph, context, [](const Graph& g, NodeId id) { return g.node(id).op == OpKind::kCustom; },
      "is what its body says");
}

extern const Pass kInlineCustomPass = {
    .name = "inline_custom",
    .run = InlineCustom,
    .needs = {OpKind::kCustom},
    .after = "dead_code_elimination",
    .why = "Before all that looks into nodes: what a module defines is as good as written out",
};

}  // namespace rlx::passes
