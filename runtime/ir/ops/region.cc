// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/evaluate.h"
#include "runtime/ir/ops/elementwise.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/rules.h"
#include "runtime/ir/verify.h"

namespace rlx {
namespace {

const Graph& Body(const Node& node) { return *node.subgraphs[0]; }

absl::Status CheckBodyNode(const Graph& body, NodeId id) {
  const OpKind op = body.node(id).op;
  const bool plain = IsElementwise(op) && op != OpKind::kElementwiseRegion;
  if (plain || op == OpKind::kInput || op == OpKind::kConstant) return absl::OkStatus();
  return InvalidArgument("body ", NodeLabel(body, id), " is not elementwise");
}

absl::Status InferRegion(InferContext& ctx) {
  const Graph& body = Body(ctx.node);
  for (NodeId id = 0; id < body.size(); ++id) RLX_TRY(CheckBodyNode(body, id));
  RLX_TRY(RequireInputs(body, ctx.operands, 0));
  for (const Output& output : body.outputs()) ctx.results.push_back(body.type(output.value));
  ctx.constraints = body.constraints;
  return absl::OkStatus();
}

absl::Status EvaluateRegion(EvalContext& ctx) {
  RLX_ASSIGN(ctx.results, EvaluatePositional(Body(ctx.node), ctx.operands));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Value>> DecomposeRegion(GraphBuilder& b, const Node& node) {
  const Graph& body = Body(node);
  std::vector<std::vector<Value>> mapped(body.size());
  size_t next_input = 0;
  for (NodeId id = 0; id < body.size(); ++id) {
    if (body.node(id).op == OpKind::kInput) {
      mapped[id] = {node.operands[next_input++]};
      continue;
    }
    std::vector<Value> operands;
    for (Value operand : body.node(id).operands)
      operands.push_back(mapped[operand.node][operand.result]);
    mapped[id] = b.Clone(body.node(id), std::move(operands));
    RLX_TRY(b.status());
  }
  std::vector<Value> results;
  for (const Output& output : body.outputs())
    results.push_back(mapped[output.value.node][output.value.result]);
  return results;
}

// Two to seven ops over a full, a stretching and a scalar operand; one or two results.
OpSample SampleRegion(Rng& rng) {
  const Shape shape = DrawShape(rng, 1, 4);
  Graph body;
  GraphBuilder b(body);
  OpSample sample;
  std::vector<Value> values;
  for (const Shape& operand : {shape, DrawBroadcastable(rng, shape), Shape{}}) {
    sample.operands.push_back(FloatOperand(operand));
    values.push_back(b.Input("", sample.operands.back().type));
  }
  constexpr OpKind kUnary[] = {OpKind::kTanh, OpKind::kSigmoid, OpKind::kRelu,
                               OpKind::kNeg,  OpKind::kGelu,    OpKind::kAbs};
  constexpr OpKind kBinary[] = {OpKind::kAdd, OpKind::kSub, OpKind::kMul, OpKind::kMax,
                                OpKind::kMin};
  const auto any = [&] { return values[Draw(rng, 0, static_cast<int64_t>(values.size()) - 1)]; };
  for (int64_t steps = Draw(rng, 1, 6); steps > 0; --steps) {
    if (Flip(rng))
      values.push_back(b.Unary(kUnary[Draw(rng, 0, 5)], any()));
    else
      values.push_back(b.Emit(kBinary[Draw(rng, 0, 4)], {any(), any()}));
  }
  b.Output("", b.Add(values.back(), values.front()));
  if (Flip(rng))
    b.Output("", b.Where(b.Emit(OpKind::kLt, {any(), any()}), any(), b.Scalar(DType::kF32, 0.5)));
  sample.subgraphs = {std::make_shared<const Graph>(std::move(body))};
  return sample;
}

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kElementwiseRegion,
     .name = "elementwise_region",
     .claim = "ElementwiseRegion",
     .op_class = OpClass::kElementwise,
     .min_operands = 1,
     .max_operands = -1,
     .results = -1,
     .subgraphs = 1,
     .infer = InferRegion,
     .evaluate = EvaluateRegion,
     .decompose = DecomposeRegion,
     .sample = SampleRegion,
     .doc = "(operands…) graph: the outputs of a graph of elementwise ops whose inputs are the "
            "operands, by position"},
};

}  // namespace

std::span<const OpInfo> RegionOps() { return kTable; }

}  // namespace rlx
