// SPDX-License-Identifier: Apache-2.0
// Ops and blocks that a module defines itself: a name, and a nested graph that says what it means.
#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/evaluate.h"
#include "runtime/ir/ops/elementwise.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

const Graph& Body(const Node& node) { return *node.subgraphs[0]; }

absl::Status InferCustom(InferContext& ctx) {
  const Graph& body = Body(ctx.node);
  RLX_TRY(RequireInputs(body, ctx.operands, 0));
  for (const Output& output : body.outputs()) ctx.results.push_back(body.type(output.value));
  ctx.constraints = body.constraints;
  return absl::OkStatus();
}

absl::Status EvaluateCustom(EvalContext& ctx) {
  RLX_ASSIGN(ctx.results, EvaluatePositional(Body(ctx.node), ctx.operands));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Value>> DecomposeCustom(GraphBuilder& b, const Node& node) {
  const Graph& body = Body(node);
  std::vector<std::vector<Value>> made(body.size());
  size_t next_input = 0;
  for (NodeId id = 0; id < body.size(); ++id) {
    const Node& inner = body.node(id);
    if (inner.op == OpKind::kInput) {
      made[id] = {node.operands[next_input++]};
      continue;
    }
    std::vector<Value> operands;
    for (Value v : inner.operands) operands.push_back(made[v.node][v.result]);
    // The sources are the caller's: numbers of nested nodes mean nothing outside.
    made[id] = b.EmitAll(inner.op, std::move(operands), inner.attrs, inner.subgraphs);
    RLX_TRY(b.status());
  }
  std::vector<Value> results;
  for (const Output& output : body.outputs()) {
    results.push_back(made[output.value.node][output.value.result]);
  }
  return results;
}

// A gated product over two matrices, or over one twice.
OpSample SampleCustom(Rng& rng) {
  const int64_t m = Draw(rng, 1, 5), k = Draw(rng, 1, 7), n = Draw(rng, 1, 6);
  OpSample sample{{FloatOperand({m, k}), FloatOperand({k, n}), FloatOperand({k, n})},
                  {{"name", std::string("gated")}}};
  Graph body;
  GraphBuilder b(body);
  const Value x = b.Input("x", sample.operands[0].type);
  const Value up = b.Input("up", sample.operands[1].type);
  const Value gate = b.Input("gate", sample.operands[2].type);
  const Value product = b.MatMul(x, up);
  b.Output("out", b.Mul(product, b.Unary(OpKind::kSigmoid, b.MatMul(x, gate))));
  if (Flip(rng)) b.Output("product", product);
  sample.subgraphs.push_back(std::make_shared<const Graph>(std::move(body)));
  return sample;
}

constexpr AttrSpec kCustomAttrs[] = {
    {.name = "name", .type = AttrType::kString, .doc = "what reports call it"},
};

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kCustom,
     .name = "custom",
     .claim = "Custom",
     .op_class = OpClass::kComposite,
     .min_operands = 0,
     .max_operands = -1,
     .results = -1,
     .subgraphs = 1,
     .attrs = kCustomAttrs,
     .infer = InferCustom,
     .evaluate = EvaluateCustom,
     .decompose = DecomposeCustom,
     .sample = SampleCustom,
     .doc = "(operands…) graph: an op, or a block of an HIR module, that the module defines: the "
            "outputs of the graph, whose inputs are the operands by position. Many nodes may share "
            "one graph. It is inlined before any fusion",
     .label = [](const Node& node) { return node.Str("name"); }},
};

}  // namespace

std::span<const OpInfo> CustomOps() { return kTable; }

}  // namespace rlx
