// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/ir/evaluate.h"
#include "runtime/ir/ops/elementwise.h"
#include "runtime/ir/ops/families.h"

namespace rlx {
namespace {

std::vector<TensorType> OutputTypes(const Graph& graph) {
  std::vector<TensorType> types;
  for (const Output& output : graph.outputs()) types.push_back(graph.type(output.value));
  return types;
}

absl::Status InferIf(InferContext& ctx) {
  RLX_TRY(RequireBool(ctx, 0));
  if (ctx.operands[0].rank() != 0)
    return InvalidArgument("the predicate is ", ctx.operands[0], " where bool[] is needed");
  for (int branch = 0; branch < 2; ++branch) {
    const Graph& graph = *ctx.node.subgraphs[branch];
    RLX_TRY(Annotate(RequireInputs(graph, ctx.operands, 1), "branch ", branch));
    ctx.constraints.insert(ctx.constraints.end(), graph.constraints.begin(),
                           graph.constraints.end());
  }
  ctx.results = OutputTypes(*ctx.node.subgraphs[0]);
  const std::vector<TensorType> other = OutputTypes(*ctx.node.subgraphs[1]);
  if (ctx.results != other)
    return InvalidArgument("the branches make ", Join(ctx.results, ", "), " and ",
                           Join(other, ", "));
  return absl::OkStatus();
}

absl::Status EvaluateIf(EvalContext& ctx) {
  const int branch = ctx.operands[0]->i[0] != 0 ? 0 : 1;
  const std::vector<const EvalTensor*> captures(ctx.operands.begin() + 1, ctx.operands.end());
  RLX_ASSIGN(ctx.results, EvaluatePositional(*ctx.node.subgraphs[branch], captures));
  return absl::OkStatus();
}

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kIf,
     .name = "if",
     .claim = "If",
     .op_class = OpClass::kControlFlow,
     .min_operands = 1,
     .max_operands = -1,
     .results = -1,
     .subgraphs = 2,
     .infer = InferIf,
     .evaluate = EvaluateIf,
     .doc =
         "(predicate, captures…) graph graph: the outputs of the first graph where the bool scalar "
         "holds, else of the second; the captures are their inputs, by position"},
};

}  // namespace

std::span<const OpInfo> ControlFlowOps() { return kTable; }

}  // namespace rlx
