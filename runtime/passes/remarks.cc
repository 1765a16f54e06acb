// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/remarks.h"

#include "runtime/base/checked.h"
#include "runtime/passes/analysis.h"

namespace rlx::passes {

int64_t RoundTripBytes(const Graph& graph, const std::vector<Value>& values) {
  std::optional<int64_t> sum = 0;
  for (Value value : values) {
    const auto twice = CheckedMul<int64_t>(2, CapacityBytes(graph, graph.type(value)));
    if (sum && twice) sum = CheckedAdd(*sum, *twice);
  }
  return sum.value_or(0);
}

void Applied(PassContext& context, Rule rule, const Graph& graph, const std::vector<NodeId>& nodes,
             std::string message, Savings savings) {
  if (context.remarks == nullptr) return;
  Remark remark;
  remark.kind = Remark::Kind::kApplied;
  remark.rule = rule.name;
  remark.message = std::move(message);
  remark.sources = MergedSources(graph, nodes);
  remark.launches_saved = savings.launches;
  remark.bytes_saved = savings.bytes;
  context.remarks->push_back(std::move(remark));
}

void Missed(PassContext& context, Rule rule, Reason reason, const Graph& graph, NodeId at,
            std::string message) {
  if (context.remarks == nullptr) return;
  Remark remark;
  remark.kind = Remark::Kind::kMissed;
  remark.rule = rule.name;
  remark.reason = Info(reason).name;
  remark.hint = Info(reason).hint;
  remark.actionable = Info(reason).actionable;
  remark.message = std::move(message);
  remark.sources = MergedSources(graph, {at});
  context.remarks->push_back(std::move(remark));
}

}  // namespace rlx::passes
