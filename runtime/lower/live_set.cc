// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "runtime/lower/arena.h"
#include "runtime/lower/lower.h"

namespace rlx::lower {

int64_t ArenaLowerBound(const Graph& graph, const BufferPlan& plan) {
  std::map<Value, ArenaRequest> slots;
  std::map<Value, Value> roots;  // of views
  for (const Assignment& a : plan.assignments) {
    if (a.storage == Storage::kArena) slots[a.value] = {a.bytes, 0, 0};
    if (a.storage == Storage::kView) roots[a.value] = a.root;
  }
  for (size_t step = 0; step < plan.schedule.size(); ++step) {
    const auto now = static_cast<int32_t>(step);
    const NodeId id = plan.schedule[step];
    const Node& node = graph.node(id);
    for (Value operand : node.operands) {
      const auto root = roots.find(operand);
      const auto slot = slots.find(root == roots.end() ? operand : root->second);
      if (slot != slots.end()) slot->second.last = now;
    }
    for (int32_t r = 0; r < static_cast<int32_t>(node.results.size()); ++r) {
      const auto slot = slots.find({id, r});
      if (slot != slots.end()) slot->second.first = slot->second.last = now;
    }
  }
  std::vector<ArenaRequest> requests;
  for (const auto& [value, request] : slots) requests.push_back(request);
  return ArenaLowerBound(requests, plan.alignment);
}

}  // namespace rlx::lower
