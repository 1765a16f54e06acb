// SPDX-License-Identifier: Apache-2.0
// Attention and rope as blocks.
#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/ops/attention.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

template <OpKind kOp>
absl::StatusOr<std::vector<Value>> LowerToSame(GraphBuilder& b, const Node& node) {
  return Lowered(b, {b.Emit(kOp, node.operands, node.attrs)});
}

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kHirAttention,
     .name = "hir.attention",
     .claim = "",
     .op_class = OpClass::kBlock,
     .level = Stage::kHir,
     .min_operands = 3,
     .max_operands = 4,
     .attrs = kAttentionAttrs,
     .infer = InferAttention,
     .decompose = LowerToSame<OpKind::kAttention>,
     .doc = "(q, k, v[, mask]): attention as a block"},
    {.kind = OpKind::kHirRope,
     .name = "hir.rope",
     .claim = "",
     .op_class = OpClass::kBlock,
     .level = Stage::kHir,
     .min_operands = 3,
     .max_operands = 4,
     .attrs = kRopeAttrs,
     .infer = InferRope,
     .decompose = LowerToSame<OpKind::kRope>,
     .doc = "(x, cos, sin[, positions]): rope as a block"},
};

}  // namespace

std::span<const OpInfo> HirAttentionOps() { return kTable; }

}  // namespace rlx
