// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/rule.h"

#include <vector>

#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"

namespace rlx::cuda {

std::span<const Rule* const> AllRules() {
  static const std::vector<const Rule*> rules = [] {
    std::vector<const Rule*> all;
    for (auto list :
         {AttentionRules(), MatMulRules(), NormRules(), GatherRules(), GeneratedRules()}) {
      for (const Rule& rule : list) all.push_back(&rule);
    }
    return all;
  }();
  return rules;
}

const Rule* FindRule(const Graph& graph, const Node& node, std::string* why) {
  *why = Cat("no kernel for ", Name(node.op));
  for (const Rule* rule : AllRules()) {
    if (rule->kind != node.op) continue;
    *why = rule->refuse(graph, node);
    if (why->empty()) return rule;
  }
  return nullptr;
}

}  // namespace rlx::cuda
