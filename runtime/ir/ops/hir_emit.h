// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/ir/op_info.h"

namespace rlx {

// The pieces that HIR blocks are lowered to, as the builder's policy writes them: Direct emits the
// fused op, Fusable the primitives that passes find it in. An invalid Value is an absent operand.

struct LinearParts {
  Value bias;
  std::string_view activation = "none";
  Value residual;
};
// activation(x·w + bias) + residual.
Value EmitLinear(GraphBuilder& b, Value x, Value w, const LinearParts& parts = {});
// As above, in one fused op under either policy.
Value EmitFusedLinear(GraphBuilder& b, Value x, Value w, const LinearParts& parts);

// x·w + bias for each of several weights (`biases` empty or as many). Direct: one product over the
// joined weights, and slices of it; joining depends on weights alone.
std::vector<Value> EmitSharedLinear(GraphBuilder& b, Value x, const std::vector<Value>& weights,
                                    const std::vector<Value>& biases = {});

// (x·up_w)·silu(x·gate_w).
Value EmitSwiglu(GraphBuilder& b, Value x, Value up_w, Value gate_w);

struct NormAndSum {
  Value norm, sum;
};
// sum = x + residual, and its norm: OpKind::kRmsNorm (`beta` may be absent) or kLayerNorm.
NormAndSum EmitResidualNorm(GraphBuilder& b, OpKind norm, Value x, Value residual, Value gamma,
                            Value beta, double eps);
Value EmitNorm(GraphBuilder& b, OpKind norm, Value x, Value gamma, Value beta, double eps);

// A weight operand: rank 2, its columns constant, `rows` rows. Returns the columns.
absl::StatusOr<int64_t> RequireWeight(InferContext& ctx, int i, std::string_view name,
                                      const Dim& rows);

}  // namespace rlx
