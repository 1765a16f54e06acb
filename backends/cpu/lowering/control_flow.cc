// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/rule.h"
#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/verify.h"

// if, while and scan: Branch and Loop steps, which runtime/lower puts around the steps of their
// bodies. Here stands only whether every node of them runs.
namespace rlx::cpu {
namespace {

std::string RefuseGraph(const Graph& graph) {
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Node& node = graph.node(id);
    std::string why;
    if (IsLeaf(node.op) || FindRule(graph, node, &why) != nullptr) continue;
    return Cat("in its graph, ", NodeLabel(graph, id), ": ", why);
  }
  return "";
}

std::string Refuse(const Graph&, const Node& node) {
  for (const auto& graph : node.subgraphs) {
    std::string why = RefuseGraph(*graph);
    if (!why.empty()) return why;
  }
  return "";
}

absl::Status Lower(device::ProgramBuilder& out, NodeId id, const LowerTarget&) {
  return out.ControlFlow(id);
}

constexpr Rule kRules[] = {{OpKind::kIf, "branch step", Refuse, Lower},
                           {OpKind::kWhile, "loop step", Refuse, Lower},
                           {OpKind::kScan, "loop step", Refuse, Lower}};

}  // namespace

std::span<const Rule> ControlFlowRules() { return kRules; }

}  // namespace rlx::cpu
