// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/inline.h"

namespace rlx::passes {

std::vector<Value> Inline(GraphBuilder& builder, const Graph& body,
                          const std::vector<Value>& operands) {
  std::vector<std::vector<Value>> made(body.size());
  size_t next_input = 0;
  for (NodeId id = 0; id < body.size(); ++id) {
    const Node& node = body.node(id);
    if (node.op == OpKind::kInput) {
      made[id] = {operands[next_input++]};
      continue;
    }
    std::vector<Value> mapped;
    for (Value v : node.operands) mapped.push_back(made[v.node][v.result]);
    made[id] = node.sources.empty()
                   ? builder.EmitAll(node.op, std::move(mapped), node.attrs, node.subgraphs)
                   : builder.Clone(node, std::move(mapped));
    if (!builder.status().ok()) return {};
  }
  std::vector<Value> outputs;
  for (const Output& output : body.outputs()) {
    outputs.push_back(made[output.value.node][output.value.result]);
  }
  return outputs;
}

}  // namespace rlx::passes
