// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/rule.h"

#include "backends/cpu/routine.h"
#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"

namespace rlx::cpu {

std::span<const Rule* const> AllRules() {
  static const std::vector<const Rule*> rules = [] {
    std::vector<const Rule*> all;
    // Hand-written routines before generated kernels.
    for (auto list : {GemmRules(), IntGemmRules(), DequantGemmRules(), AttentionRules(),
                      ConcatRules(), ConvRules(), ConvRowsRules(), GatherRules(), TopKRules(),
                      DequantizeRules(), SampleRules(), LinearAlgebraRules(), ComplexRules(),
                      RecurrenceRules(), ScatterRules(), ControlFlowRules(), GeneratedRules()}) {
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

const Routine* FindRoutine(std::string_view name) {
  for (auto list : {GemmRoutines(), IntGemmRoutines(), DequantGemmRoutines(), AttentionRoutines(),
                    ConcatRoutines(), ConvRoutines(), ConvRowsRoutines(), GatherRoutines(),
                    TopKRoutines(), DequantizeRoutines(), SampleRoutines(), LinearAlgebraRoutines(),
                    ComplexRoutines(), RecurrenceRoutines(), ScatterRoutines()}) {
    for (const Routine& routine : list) {
      if (routine.name == name) return &routine;
    }
  }
  return nullptr;
}

}  // namespace rlx::cpu
