// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/remarks.h"

#include "runtime/base/checked.h"
#include "runtime/passes/analysis.h"

namespace rlx::passes {

BoundedBytes RoundTripBytes(const Graph& graph, const std::vector<Value>& values) {
  BoundedBytes sum;
  for (Value value : values) {
    const auto once = CapacityBytes(graph, graph.type(value));
    const auto twice = once ? CheckedMul<int64_t>(2, *once) : std::nullopt;
    const auto more = twice ? CheckedAdd(sum.known, *twice) : std::nullopt;
    sum.known = more.value_or(sum.known);
    sum.more |= !more;
  }
  return sum;
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
  remark.bytes_saved = savings.bytes.known;
  remark.bytes_unknown = savings.bytes.more;
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
