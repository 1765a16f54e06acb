// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/ops/activation.h"

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"

namespace rlx {

Value Activate(GraphBuilder& b, const Node& node, Value x) {
  const std::string& name = node.Str("activation");
  return name == "none" ? x : b.Unary(FindOp(name)->kind, x);
}

absl::Status ActivateInPlace(const Node& node, EvalTensor& x) {
  const std::string& name = node.Str("activation");
  if (name == "none") return absl::OkStatus();
  Node activation;
  activation.op = FindOp(name)->kind;
  activation.results = {{x.dtype, Shape(x.dims.begin(), x.dims.end())}};
  RLX_ASSIGN(std::vector<EvalTensor> results, EvaluateNode(activation, {&x}));
  x = std::move(results[0]);
  return absl::OkStatus();
}

}  // namespace rlx
