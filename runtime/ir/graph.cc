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

// What nodes read, beside the nodes: those of a large graph are slow to fetch, each time anew.
struct Links {
  bool in_order = true;            // the signature comes first and operands before their users
  std::vector<bool> in_signature;  // by node
  std::vector<size_t> begin = {0};
  std::vector<NodeId> operands;  // of one node after the other

  std::span<const NodeId> Of(NodeId id) const {
    return {operands.data() + begin[id], operands.data() + begin[id + 1]};
  }
};

// Refuses what refers to nothing.
absl::StatusOr<Links> CheckReferences(const Graph& graph) {
  Links links;
  links.in_signature.resize(graph.size());
  links.begin.reserve(graph.nodes().size() + 1);
  links.operands.reserve(2 * graph.nodes().size());
  NodeId others = graph.size();  // where they begin
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Node& node = graph.node(id);
    links.in_signature[id] = InSignature(node);
    if (!InSignature(node)) others = std::min(others, id);
    if (InSignature(node) && id > others) links.in_order = false;
    for (Value operand : node.operands) {
      if (!graph.Has(operand))
        return InvalidArgument(NodeLabel(graph, id), ": operand ", operand, " does not exist");
      if (operand.node >= id) links.in_order = false;
      links.operands.push_back(operand.node);
    }
    links.begin.push_back(links.operands.size());
  }
  for (const Output& output : graph.outputs()) {
    if (!graph.Has(output.value))
      return InvalidArgument("output \"", output.name, "\": ", output.value, " does not exist");
  }
  return links;
}

// What the outputs reach, and the signature.
std::vector<bool> Live(const Links& links, const std::vector<Output>& outputs) {
  std::vector<bool> live = links.in_signature;
  std::vector<NodeId> pending;
  for (const Output& output : outputs) live[output.value.node] = true;
  // One sweep, but for operands that come after their user.
  for (auto id = static_cast<NodeId>(live.size()) - 1; id >= 0; --id) {
    if (!live[id]) continue;
    pending.push_back(id);
    while (!pending.empty()) {
      const NodeId user = pending.back();
      pending.pop_back();
      for (NodeId operand : links.Of(user)) {
        if (live[operand]) continue;
        live[operand] = true;
        if (operand > id) pending.push_back(operand);
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
  RLX_ASSIGN(const Links links, CheckReferences(*this));
  const std::vector<bool> live =
      keep_dead ? std::vector<bool>(size(), true) : Live(links, outputs_);
  std::vector<NodeId> order;
  order.reserve(nodes_.size());
  if (links.in_order) {
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

// visit(node), then visit(value, use) for what it reads; for outputs the latter alone.
template <class Visit>
void Uses::ForEach(const Graph& graph, const Visit& visit) {
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Node& node = graph.node(id);
    visit(node);
    for (size_t slot = 0; slot < node.operands.size(); ++slot)
      visit(node.operands[slot], Use{id, static_cast<int>(slot)});
  }
  for (size_t slot = 0; slot < graph.outputs().size(); ++slot)
    visit(graph.outputs()[slot].value, Use{-1, static_cast<int>(slot)});
}

Uses::Uses(const Graph& graph) {
  // Gathered in one sweep over the nodes, then sorted by value beside them.
  struct Gather {
    Uses& uses;
    size_t& values;
    std::vector<std::pair<Value, Use>>& reads;
    void operator()(const Node& node) const {
      uses.first_value_.push_back(values);
      values += node.results.size();
    }
    void operator()(Value v, Use use) const { reads.emplace_back(v, use); }
  };
  size_t values = 0;
  std::vector<std::pair<Value, Use>> reads;
  first_value_.reserve(graph.nodes().size());
  reads.reserve(2 * graph.nodes().size());
  ForEach(graph, Gather{*this, values, reads});
  // Counted two places on and summed up, begin_[v + 1] is where the next use of v goes; once all
  // are there it is where they end.
  begin_.resize(values + 2);
  for (const auto& [value, use] : reads) ++begin_[Index(value) + 2];
  std::partial_sum(begin_.begin(), begin_.end(), begin_.begin());
  uses_.resize(begin_.back());
  for (const auto& [value, use] : reads) uses_[begin_[Index(value) + 1]++] = use;
}

bool Uses::IsOutput(Value v) const {
  const std::span<const Use> uses = of(v);
  return !uses.empty() && uses.back().node == -1;  // outputs come last
}

NodeId Uses::OnlyUser(Value v) const { return Count(v) == 1 ? of(v)[0].node : -1; }

}  // namespace rlx
