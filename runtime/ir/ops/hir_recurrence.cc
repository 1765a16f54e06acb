// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

absl::Status InferSame(InferContext& ctx) { return Info(OpKind::kGatedDeltaNet).infer(ctx); }

absl::StatusOr<std::vector<Value>> LowerSame(GraphBuilder& b, const Node& node) {
  return Lowered(b, b.EmitAll(OpKind::kGatedDeltaNet, node.operands, node.attrs));
}

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kHirGatedDeltaNet,
     .name = "hir.gated_delta_net",
     .claim = "",
     .op_class = OpClass::kBlock,
     .level = Stage::kHir,
     .min_operands = 5,
     .max_operands = 6,
     .results = 2,
     .infer = InferSame,
     .decompose = LowerSame,
     .doc = "(q, k, v [b,s,h,n], g, beta [b,s,h][, state [b,h,n,n]]): gated_delta_net as a block; "
            "with a state it goes on where an earlier call left off",
     .label =
         [](const Node& node) {
           return std::string(node.operands.size() > 5 ? "gated_delta_net_carry"
                                                       : "gated_delta_net");
         }},
};

}  // namespace

std::span<const OpInfo> HirRecurrenceOps() { return kTable; }

}  // namespace rlx
