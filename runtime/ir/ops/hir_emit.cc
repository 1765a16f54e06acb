// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/ops/hir_emit.h"

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

bool Direct(const GraphBuilder& b) { return b.policy() == FusionPolicy::kDirect; }

int64_t Columns(const GraphBuilder& b, Value weight) { return b.type(weight).shape.back().value(); }

}  // namespace

Value EmitFusedLinear(GraphBuilder& b, Value x, Value w, const LinearParts& parts) {
  std::vector<Value> operands = {x, w};
  if (parts.bias.valid()) operands.push_back(parts.bias);
  if (parts.residual.valid()) operands.push_back(parts.residual);
  return b.Emit(OpKind::kFusedMatMulBiasAct, std::move(operands),
                {{"has_bias", parts.bias.valid()},
                 {"has_residual", parts.residual.valid()},
                 {"activation", std::string(parts.activation)}});
}

Value EmitLinear(GraphBuilder& b, Value x, Value w, const LinearParts& parts) {
  const bool plain = !parts.bias.valid() && !parts.residual.valid() && parts.activation == "none";
  if (Direct(b) && !plain) return EmitFusedLinear(b, x, w, parts);
  Value out = b.MatMul(x, w);
  if (parts.bias.valid()) out = b.Add(out, parts.bias);
  if (parts.activation != "none") out = b.Unary(FindOp(parts.activation)->kind, out);
  return parts.residual.valid() ? b.Add(out, parts.residual) : out;
}

std::vector<Value> EmitSharedLinear(GraphBuilder& b, Value x, const std::vector<Value>& weights,
                                    const std::vector<Value>& biases) {
  std::vector<Value> out;
  if (!Direct(b)) {
    for (size_t i = 0; i < weights.size(); ++i) {
      out.push_back(EmitLinear(b, x, weights[i], {.bias = biases.empty() ? Value{} : biases[i]}));
    }
    return out;
  }
  const Value bias = biases.empty() ? Value{} : b.Concat(biases, 0);
  const Value all = EmitLinear(b, x, b.Concat(weights, 1), {.bias = bias});
  const int64_t last = b.type(x).rank() - 1;
  int64_t start = 0;
  for (Value weight : weights) {
    out.push_back(b.Narrow(all, last, start, Columns(b, weight)));
    start += Columns(b, weight);
  }
  return out;
}

Value EmitSwiglu(GraphBuilder& b, Value x, Value up_w, Value gate_w) {
  if (Direct(b)) {
    return b.Emit(OpKind::kFusedSwiglu, {b.MatMul(x, b.Concat({up_w, gate_w}, 1))},
                  {{"gate_first", false}});
  }
  const Value up = b.MatMul(x, up_w), gate = b.MatMul(x, gate_w);
  return b.Mul(up, b.Unary(OpKind::kSilu, gate));
}

Value EmitNorm(GraphBuilder& b, OpKind norm, Value x, Value gamma, Value beta, double eps) {
  std::vector<Value> operands = {x, gamma};
  if (beta.valid()) operands.push_back(beta);
  return b.Emit(norm, std::move(operands), {{"eps", eps}});
}

NormAndSum EmitResidualNorm(GraphBuilder& b, OpKind norm, Value x, Value residual, Value gamma,
                            Value beta, double eps) {
  if (!Direct(b)) {
    const Value sum = b.Add(x, residual);
    return {EmitNorm(b, norm, sum, gamma, beta, eps), sum};
  }
  std::vector<Value> operands = {x, residual, gamma};
  if (beta.valid()) operands.push_back(beta);
  const OpKind fused =
      norm == OpKind::kLayerNorm ? OpKind::kFusedResidualLayerNorm : OpKind::kFusedResidualRmsNorm;
  const auto results = b.EmitAll(fused, std::move(operands), {{"has_bias", false}, {"eps", eps}});
  return results.size() == 2 ? NormAndSum{results[0], results[1]} : NormAndSum{};
}

absl::StatusOr<int64_t> RequireWeight(InferContext& ctx, int i, std::string_view name,
                                      const Dim& rows) {
  const TensorType& type = ctx.operands[i];
  if (type.rank() != 2 || !type.shape[1].is_static()) {
    return InvalidArgument(name, " is ", type,
                           " where a matrix with a constant number of columns is needed");
  }
  RLX_TRY(RequireShape(ctx, i, name, {rows, type.shape[1]}));
  return type.shape[1].value();
}

}  // namespace rlx
