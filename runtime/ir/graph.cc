// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/graph.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "runtime/base/status.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/verify.h"

namespace rlx {
namespace {

std::vector<NodeId> NodesOf(const Graph& graph, OpKind op) {
  std::vector<NodeId> ids;
  for (NodeId id = 0; id < graph.size(); ++id)
    if (graph.node(id).op == op) ids.push_back(id);
  return ids;
}

bool InSignature(const Node& node) {
  return node.op == OpKind::kInput || node.op == OpKind::kParam;
}

// Refuses what refers to nothing. Whether the signature comes first and operands before their
// users.
absl::StatusOr<bool> CheckReferences(const Graph& graph) {
  bool in_order = true;
  NodeId others = graph.size();  // where they begin
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Node& node = graph.node(id);
    if (!InSignature(node)) others = std::min(others, id);
    if (InSignature(node) && id > others) in_order = false;
    for (Value operand : node.operands) {
      if (!graph.Has(operand))
        return InvalidArgument(NodeLabel(graph, id), ": operand ", operand, " does not exist");
      if (operand.node >= id) in_order = false;
    }
  }
  for (const Output& output : graph.outputs()) {
    if (!graph.Has(output.value))
      return InvalidArgument("output \"", output.name, "\": ", output.value, " does not exist");
  }
  return in_order;
}

// What the outputs reach, and the signature.
std::vector<bool> Live(const Graph& graph) {
  std::vector<bool> live(graph.size());
  std::vector<NodeId> pending;
  for (const Output& output : graph.outputs()) live[output.value.node] = true;
  // One sweep in the order of memory, but for operands that come after their user.
  for (NodeId id = graph.size() - 1; id >= 0; --id) {
    if (InSignature(graph.node(id))) live[id] = true;
    if (!live[id]) continue;
    pending.push_back(id);
    while (!pending.empty()) {
      const NodeId user = pending.back();
      pending.pop_back();
      for (Value operand : graph.node(user).operands) {
        if (live[operand.node]) continue;
        live[operand.node] = true;
        if (operand.node > id) pending.push_back(operand.node);
      }
    }
  }
  return live;
}

// By the node that makes an output which may take an input's buffer: who should have read the input
// before, but comes later in `order`. Not those that read what the node makes: they cannot.
using Readers = std::map<NodeId, std::vector<NodeId>>;

std::map<NodeId, NodeId> MakersByDonatedInput(const Graph& graph) {
  std::map<NodeId, NodeId> makers;
  const std::vector<NodeId> inputs = graph.inputs();
  for (const auto& [input, output] : graph.aliases) {
    const bool there = input >= 0 && static_cast<size_t>(input) < inputs.size() && output >= 0 &&
                       static_cast<size_t>(output) < graph.outputs().size();
    if (there) makers[inputs[input]] = graph.outputs()[output].value.node;
  }
  return makers;
}

// What `node` leads to, itself included.
std::vector<bool> Dependents(const Graph& graph, NodeId node, const std::vector<NodeId>& order) {
  std::vector<bool> depends(graph.size());
  depends[node] = true;
  for (NodeId id : order) {
    for (Value operand : graph.node(id).operands)
      if (depends[operand.node]) depends[id] = true;
  }
  return depends;
}

Readers LateReaders(const Graph& graph, const std::vector<NodeId>& order) {
  Readers late;
  const std::map<NodeId, NodeId> makers = MakersByDonatedInput(graph);
  std::vector<bool> made(graph.size());
  for (NodeId id : order) {
    for (Value operand : graph.node(id).operands) {
      const auto it = makers.find(operand.node);
      if (it != makers.end() && made[it->second]) late[it->second].push_back(id);
    }
    made[id] = true;
  }
  for (auto& [maker, readers] : late) {
    const std::vector<bool> depends = Dependents(graph, maker, order);
    std::erase_if(readers, [&](NodeId id) { return depends[id]; });
  }
  std::erase_if(late, [](const auto& entry) { return entry.second.empty(); });
  return late;
}

// Appends to `order` what `root` needs and then `root`, depth first with its own stack. A node
// needs its operands, and the readers that it has to wait for.
class Sorter {
 public:
  Sorter(const Graph& graph, const Readers& readers)
      : graph_(graph), readers_(readers), state_(graph.size(), kNew) {}

  absl::Status Visit(NodeId root) {
    if (state_[root] != kNew) return absl::OkStatus();
    Open(root);
    while (!stack_.empty()) {
      auto& [id, next] = stack_.back();
      const std::vector<Value>& operands = graph_.node(id).operands;
      const std::vector<NodeId>& readers = ReadersBefore(id);
      if (next == operands.size() + readers.size()) {
        state_[id] = kDone;
        order.push_back(id);
        stack_.pop_back();
        continue;
      }
      const NodeId before =
          next < operands.size() ? operands[next].node : readers[next - operands.size()];
      ++next;
      if (state_[before] == kOpen)
        return InvalidArgument(NodeLabel(graph_, before), " is on a cycle");
      if (state_[before] == kNew) Open(before);
    }
    return absl::OkStatus();
  }

  std::vector<NodeId> order;

 private:
  enum State : uint8_t { kNew, kOpen, kDone };
  void Open(NodeId id) {
    state_[id] = kOpen;
    stack_.push_back({id, 0});
  }
  const std::vector<NodeId>& ReadersBefore(NodeId id) const {
    static const std::vector<NodeId> none;
    const auto it = readers_.find(id);
    return it == readers_.end() ? none : it->second;
  }

  const Graph& graph_;
  const Readers& readers_;
  std::vector<State> state_;
  std::vector<std::pair<NodeId, size_t>> stack_;  // node, next of its operands and readers
};

// Operands and `readers` first, the signature before everything else.
absl::StatusOr<std::vector<NodeId>> Sort(const Graph& graph, const std::vector<bool>& live,
                                         const Readers& readers) {
  Sorter sorter(graph, readers);
  for (NodeId id = 0; id < graph.size(); ++id)
    if (InSignature(graph.node(id))) RLX_TRY(sorter.Visit(id));
  for (NodeId id = 0; id < graph.size(); ++id)
    if (live[id]) RLX_TRY(sorter.Visit(id));
  return std::move(sorter.order);
}

}  // namespace

NodeId Graph::Add(Node node) {
  nodes_.push_back(std::move(node));
  return size() - 1;
}

bool Graph::Has(Value v) const {
  return v.valid() && v.node < size() && v.result >= 0 &&
         v.result < static_cast<int>(nodes_[v.node].results.size());
}

std::vector<NodeId> Graph::inputs() const { return NodesOf(*this, OpKind::kInput); }
std::vector<NodeId> Graph::params() const { return NodesOf(*this, OpKind::kParam); }

void Graph::AddConstraints(const std::vector<DimConstraint>& more) {
  for (const DimConstraint& constraint : more) {
    if (std::find(constraints.begin(), constraints.end(), constraint) == constraints.end())
      constraints.push_back(constraint);
  }
}

void Graph::ReplaceUses(Value from, Value to, NodeId except) {
  for (NodeId id = 0; id < size(); ++id) {
    if (id == except) continue;
    std::replace(nodes_[id].operands.begin(), nodes_[id].operands.end(), from, to);
  }
  for (Output& output : outputs_)
    if (output.value == from) output.value = to;
}

absl::StatusOr<std::vector<NodeId>> Graph::Normalize(bool keep_dead) {
  RLX_ASSIGN(const bool in_order, CheckReferences(*this));
  const std::vector<bool> live = keep_dead ? std::vector<bool>(size(), true) : Live(*this);
  std::vector<NodeId> order;
  if (in_order) {
    for (NodeId id = 0; id < size(); ++id)
      if (live[id]) order.push_back(id);
  } else {
    RLX_ASSIGN(order, Sort(*this, live, {}));
  }
  if (!aliases.empty()) {
    const Readers late = LateReaders(*this, order);
    // Several may wait for each other: then they stay late, which the verifier says.
    if (!late.empty()) {
      if (auto sorted = Sort(*this, live, late); sorted.ok()) order = *std::move(sorted);
    }
  }

  std::vector<NodeId> renumbered(size(), -1);
  for (size_t i = 0; i < order.size(); ++i) renumbered[order[i]] = static_cast<NodeId>(i);
  if (static_cast<int>(order.size()) == size() && std::ranges::is_sorted(order))
    return renumbered;  // everything is where it belongs
  std::vector<Node> nodes;
  nodes.reserve(order.size());
  for (NodeId id : order) {
    nodes.push_back(std::move(nodes_[id]));
    for (Value& operand : nodes.back().operands) operand.node = renumbered[operand.node];
  }
  nodes_ = std::move(nodes);
  for (Output& output : outputs_) output.value.node = renumbered[output.value.node];
  return renumbered;
}

std::vector<bool> WeightOnly(const Graph& graph) {
  std::vector<bool> fixed(graph.size());
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Node& node = graph.node(id);
    fixed[id] = node.op != OpKind::kInput &&
                std::ranges::all_of(node.operands, [&](Value v) { return fixed[v.node]; });
  }
  return fixed;
}

template <class Visit>
void Uses::ForEach(const Graph& graph, const Visit& visit) {
  for (NodeId id = 0; id < graph.size(); ++id) {
    const std::vector<Value>& operands = graph.node(id).operands;
    for (size_t slot = 0; slot < operands.size(); ++slot)
      visit(operands[slot], Use{id, static_cast<int>(slot)});
  }
  for (size_t slot = 0; slot < graph.outputs().size(); ++slot)
    visit(graph.outputs()[slot].value, Use{-1, static_cast<int>(slot)});
}

Uses::Uses(const Graph& graph) {
  first_value_.reserve(graph.nodes().size());
  size_t values = 0;
  for (const Node& node : graph.nodes()) {
    first_value_.push_back(values);
    values += node.results.size();
  }
  // Counted two places on and summed up, begin_[v + 1] is where the next use of v goes; once all
  // are there it is where they end.
  begin_.resize(values + 2);
  ForEach(graph, [&](Value v, Use) { ++begin_[Index(v) + 2]; });
  std::partial_sum(begin_.begin(), begin_.end(), begin_.begin());
  uses_.resize(begin_.back());
  ForEach(graph, [&](Value v, Use use) { uses_[begin_[Index(v) + 1]++] = use; });
}

bool Uses::IsOutput(Value v) const {
  const std::span<const Use> uses = of(v);
  return !uses.empty() && uses.back().node == -1;  // outputs come last
}

NodeId Uses::OnlyUser(Value v) const { return Count(v) == 1 ? of(v)[0].node : -1; }

}  // namespace rlx
