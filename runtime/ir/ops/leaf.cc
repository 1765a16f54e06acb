// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/evaluate.h"
#include "runtime/ir/ops/families.h"

namespace rlx {
namespace {

constexpr AttrSpec kConstantAttrs[] = {
    {.name = "value", .type = AttrType::kTensor, .doc = "the elements"},
};

absl::Status InferConstant(InferContext& ctx) {
  ctx.results = {ctx.node.Tensor("value").type()};
  return absl::OkStatus();
}

absl::Status EvaluateConstant(EvalContext& ctx) {
  ctx.results[0] = EvalTensor::From(ctx.node.Tensor("value"));
  return absl::OkStatus();
}

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kInput,
     .name = "input",
     .claim = "Input",
     .op_class = OpClass::kLeaf,
     .doc = "a tensor that arrives with a request, bound by name; in a nested graph by position"},
    {.kind = OpKind::kParam,
     .name = "param",
     .claim = "Param",
     .op_class = OpClass::kLeaf,
     .doc = "a weight, bound by name once for many requests"},
    {.kind = OpKind::kConstant,
     .name = "constant",
     .claim = "Constant",
     .op_class = OpClass::kLeaf,
     .attrs = kConstantAttrs,
     .infer = InferConstant,
     .evaluate = EvaluateConstant,
     .doc = "a literal tensor, part of the module"},
};

}  // namespace

std::span<const OpInfo> LeafOps() { return kTable; }

}  // namespace rlx
