// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/promote_params.h"

#include <algorithm>

#include "runtime/base/status.h"

namespace rlx::passes {

absl::Status PromoteParams(Graph& graph, const std::set<std::string>& names) {
  std::set<std::string> left = names;
  std::vector<NodeId> promoted;
  for (NodeId id : graph.params()) {
    if (left.erase(graph.node(id).name) > 0) promoted.push_back(id);
  }
  if (!left.empty()) return NotFound("no param is called \"", *left.begin(), "\"");
  const std::vector<NodeId> inputs = graph.inputs();
  for (NodeId id : promoted) graph.node(id).op = OpKind::kInput;
  const std::vector<NodeId> now = graph.inputs();
  for (AliasPair& alias : graph.aliases) {
    alias.input = static_cast<int>(std::ranges::find(now, inputs[alias.input]) - now.begin());
  }
  return absl::OkStatus();
}

}  // namespace rlx::passes
