// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/rewriter.h"

#include <algorithm>

#include "runtime/base/status.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/verify.h"
#include "runtime/passes/analysis.h"

namespace rlx::passes {

Rewriter::Rewriter(Graph& graph, PassContext& context)
    : graph_(graph),
      context_(context),
      builder_(graph),
      original_size_(graph.size()),
      taken_(graph.size()) {}

const Uses& Rewriter::uses() const {
  if (!uses_) uses_.emplace(graph_);
  return *uses_;
}

void Rewriter::Take(const std::vector<NodeId>& replaced) {
  group_ = replaced;
  ops_.clear();
  for (NodeId id : replaced) {
    taken_[id] = true;
    const OpKind op = graph_.node(id).op;
    if (std::ranges::find(ops_, op) == ops_.end()) ops_.push_back(op);
  }
}

GraphBuilder& Rewriter::For(const std::vector<NodeId>& replaced) {
  if (graph_.size() == original_size_) uses();  // new nodes are none of its readers
  Take(replaced);
  builder_.SetSources(MergedSources(graph_, replaced));
  return builder_;
}

bool Rewriter::AnyTaken(const std::vector<NodeId>& nodes) const {
  return std::ranges::any_of(nodes, [&](NodeId id) { return taken_[id]; });
}

// Each new node counts once, for whom it was made first: chains of them cost no more than they have
// nodes.
void Rewriter::Note(NodeId from, NodeId to) {
  const bool grouped = std::ranges::find(group_, from) != group_.end();
  const std::vector<OpKind> ops = grouped ? ops_ : std::vector{graph_.node(from).op};
  noted_.resize(static_cast<size_t>(graph_.size() - original_size_));
  std::vector<NodeId> left = {to};
  while (!left.empty()) {
    const NodeId id = left.back();
    left.pop_back();
    if (id < original_size_ || noted_[id - original_size_]) continue;
    noted_[id - original_size_] = true;
    const Node& made = graph_.node(id);
    for (OpKind op : ops) context_.became[op].insert(made.op);
    for (Value operand : made.operands) left.push_back(operand.node);
  }
}

void Rewriter::Replace(Value from, Value to) {
  if (!builder_.status().ok()) return;
  if (graph_.type(from) != graph_.type(to)) {
    builder_.Fail(Internal(NodeLabel(graph_, from.node), ": the replacement is ", graph_.type(to),
                           " instead of ", graph_.type(from)));
    return;
  }
  replacement_.resize(static_cast<size_t>(original_size_));
  std::vector<Value>& slots = replacement_[from.node];
  slots.resize(graph_.node(from.node).results.size());
  slots[from.result] = to;
  Note(from.node, to.node);
  Node& made = graph_.node(to.node);
  if (to.node >= original_size_ && made.name.empty() && !IsLeaf(graph_.node(from.node).op)) {
    made.name = graph_.node(from.node).name;
  }
}

Value Rewriter::Resolve(Value value) {
  const auto next = [&](Value v) -> Value* {
    if (v.node >= original_size_ || replacement_[v.node].empty()) return nullptr;
    Value& to = replacement_[v.node][v.result];
    return to.valid() ? &to : nullptr;
  };
  Value last = value;
  while (const Value* to = next(last)) last = *to;
  // Short for whoever comes this way next.
  while (Value* to = next(value)) value = std::exchange(*to, last);
  return last;
}

// Original nodes that no original node or output reads, and no rewrite took.
std::vector<NodeId> Rewriter::Unread() const {
  std::vector<bool> kept = taken_;
  for (NodeId id = 0; id < original_size_; ++id) {
    for (Value operand : graph_.node(id).operands) kept[operand.node] = true;
  }
  for (const Output& output : graph_.outputs()) kept[output.value.node] = true;
  std::vector<NodeId> unread;
  for (NodeId id = 0; id < original_size_; ++id) {
    if (!kept[id]) unread.push_back(id);
  }
  return unread;
}

absl::Status Rewriter::Finish() {
  RLX_TRY(builder_.status());
  if (replacement_.empty() && graph_.size() == original_size_) return absl::OkStatus();
  // Without a replacement there are only nodes that somebody made in vain.
  if (!replacement_.empty()) context_.changed = true;
  replacement_.resize(static_cast<size_t>(original_size_));
  const std::vector<NodeId> unread = Unread();
  for (NodeId id = 0; id < graph_.size(); ++id) {
    for (Value& operand : graph_.node(id).operands) operand = Resolve(operand);
  }
  const std::vector<Output> outputs = graph_.outputs();
  graph_.ClearOutputs();
  for (const Output& output : outputs) graph_.AddOutput(output.name, Resolve(output.value));
  // What nobody read before the pass is kept alive by outputs for the time of the sort.
  for (NodeId id : unread) graph_.AddOutput("", {id, 0});
  RLX_ASSIGN(const std::vector<NodeId> renumbered, graph_.Normalize());
  const std::vector<Output> sorted = graph_.outputs();
  graph_.ClearOutputs();
  for (size_t i = 0; i < outputs.size(); ++i) graph_.AddOutput(sorted[i].name, sorted[i].value);
  return absl::OkStatus();
}

}  // namespace rlx::passes
