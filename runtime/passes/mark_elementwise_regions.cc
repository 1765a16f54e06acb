// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/remarks.h"

//   a ─┐
//   b ─ add ──┬── exp ─┐
//             └─────── mul ── cast     =>   elementwise_region(a, b) { add, exp, mul, cast }
//
// A node joins a region that reads it when every other reader comes after the region's last node,
// its tail; for those, and for the module's outputs, it is one more result. So whatever leaves a
// region goes to nodes numbered above its tail, tails grow along every path, and no path leads
// back. All members have the region's shape; inputs broadcast to it as numpy does. One-element
// constants go into the body.
namespace rlx::passes {
namespace {

constexpr Rule kRule("elementwise_region");

constexpr size_t kMaxResults = 8;

struct Region {
  NodeId tail = -1;
  std::vector<NodeId> members;  // last first; in order once it is emitted
  std::vector<NodeId> results;  // members read from outside, the tail first
  std::set<Value> inputs;
  std::vector<Value> operands;  // the inputs in order of first use; empty: it is left as it is
  int constants = 0;   // reads of constants that go into the body, which has no more of them
  BoundedBytes bytes;  // that the members but the tail would write and read
};

// Large graphs go into regions as a whole, and nodes are costly to make, to free and even to fetch.
// So members move into the bodies, and what is left moves into a new graph: nothing is copied, and
// no sweep goes over what is gone.
class Marking {
 public:
  Marking(Graph& graph, PassContext& context)
      : graph_(graph),
        context_(context),
        uses_(graph),
        fixed_(WeightOnly(graph)),
        region_of_(graph.size(), -1),
        inside_(graph.size(), -1) {}

  absl::Status Run() {
    // Readers first: a node's readers have found their regions before it looks for its own.
    for (NodeId id = graph_.size() - 1; id >= 0; --id) {
      if (Eligible(id) && !JoinReaders(id)) Start(id);
    }
    std::vector<Node> made;
    for (Region& region : regions_) {
      if (region.members.size() == 1) continue;
      std::ranges::reverse(region.members);
      region.operands = Operands(region.members, std::move(region.inputs));
    }
    for (size_t index = 0; index < regions_.size(); ++index) {
      if (regions_[index].operands.empty()) continue;
      RLX_ASSIGN(Node node, Made(static_cast<int>(index)));
      made.push_back(std::move(node));
    }
    return made.empty() ? absl::OkStatus() : Rebuild(std::move(made));
  }

 private:
  bool Eligible(NodeId id) const {
    const Node& node = graph_.node(id);
    if (!IsPointwise(node.op)) return false;
    // One node that the back end refuses would bring the whole region down.
    return !context_.runs || !IsStatic(graph_, node) || context_.runs(graph_, id);
  }

  bool IsScalarConstant(Value v) const {
    return graph_.node(v.node).op == OpKind::kConstant && graph_.type(v).NumElements() == 1;
  }

  // What the region does not read yet, each once. Valid until the next call, as constants_ is.
  const std::vector<Value>& MoreInputs(NodeId id, const Region& region) {
    more_.clear();
    constants_ = 0;
    for (Value v : graph_.node(id).operands) {
      const bool constant = IsScalarConstant(v);
      constants_ += constant ? 1 : 0;
      if (constant || region.inputs.count(v) > 0) continue;
      if (std::ranges::find(more_, v) == more_.end()) more_.push_back(v);
    }
    return more_;
  }

  void Start(NodeId id) {
    region_of_[id] = static_cast<int>(regions_.size());
    Region region{.tail = id, .members = {id}, .results = {id}};
    const std::vector<Value>& inputs = MoreInputs(id, region);
    region.inputs.insert(inputs.begin(), inputs.end());
    region.constants = constants_;
    regions_.push_back(std::move(region));
  }

  // The region with the lowest tail among the readers'; -1 when none is in a region.
  int FirstRegion(NodeId id) const {
    int first = -1;
    for (const Uses::Use& use : uses_.of({id, 0})) {
      const int region = use.node < 0 ? -1 : region_of_[use.node];
      if (region >= 0 && (first < 0 || regions_[region].tail < regions_[first].tail)) {
        first = region;
      }
    }
    return first;
  }

  // Whether anything outside the region reads the node; none when that comes too early.
  std::optional<bool> ReadOutside(NodeId id, int region) const {
    bool outside = false;
    for (const Uses::Use& use : uses_.of({id, 0})) {
      if (use.node >= 0 && region_of_[use.node] == region) continue;
      if (use.node >= 0 && use.node < regions_[region].tail) return std::nullopt;
      outside = true;
    }
    return outside;
  }

  bool JoinReaders(NodeId id) {
    const int index = FirstRegion(id);
    if (index < 0) return false;
    Region& region = regions_[index];
    const std::optional<bool> outside = ReadOutside(id, index);
    if (!outside || (*outside && region.results.size() == kMaxResults)) return false;
    if (graph_.type({id, 0}).shape != graph_.type({region.tail, 0}).shape) return false;
    // What weights alone decide is computed once, not with every run.
    if (fixed_[id] != fixed_[region.tail]) return false;
    if (region.members.size() + 1 > context_.limits.max_elementwise_steps) return false;
    const std::vector<Value>& more = MoreInputs(id, region);
    // Its own value is an input of the region until it joins.
    if (region.inputs.size() - 1 + more.size() > context_.limits.max_elementwise_inputs) {
      return false;
    }
    region.inputs.erase({id, 0});
    region.inputs.insert(more.begin(), more.end());
    region.constants += constants_;
    region.members.push_back(id);
    region.bytes += RoundTripBytes(graph_, {{id, 0}});
    if (*outside) region.results.push_back(id);
    region_of_[id] = index;
    return true;
  }

  // The region's node; its operands are those of the graph as it was.
  absl::StatusOr<Node> Made(int index) {
    const Region& region = regions_[index];
    Node made{.op = OpKind::kElementwiseRegion, .operands = region.operands};
    made.sources = MergedSources(graph_, region.members);
    for (NodeId id : region.results) {
      made.results.push_back(graph_.type({id, 0}));
      if (made.name.empty()) made.name = graph_.node(id).name;
    }
    RLX_ASSIGN(std::shared_ptr<const Graph> body, Body(index));
    made.subgraphs = {std::move(body)};
    return made;
  }

  void Report(const Region& region, const Graph& next, NodeId made) {
    BoundedBytes written;
    for (size_t r = 1; r < region.results.size(); ++r)
      written += RoundTripBytes(next, {{made, static_cast<int32_t>(r)}}) / 2;
    Applied(context_, kRule, next, {made},
            Cat(region.members.size(), " elementwise nodes up to ", Label(graph_, region.tail),
                " become one kernel"),
            {.launches = static_cast<int64_t>(region.members.size()) - 1,
             .bytes = region.bytes - written});
  }

  bool IsMember(Value v, int region) const { return region_of_[v.node] == region; }

  static bool IsResult(NodeId id, const Region& region) {
    return std::ranges::find(region.results, id) != region.results.end();
  }

  // `inputs` in order of first use.
  std::vector<Value> Operands(const std::vector<NodeId>& members, std::set<Value> inputs) const {
    std::vector<Value> operands;
    for (NodeId id : members) {
      if (inputs.empty()) break;
      for (Value v : graph_.node(id).operands)
        if (inputs.erase(v) > 0) operands.push_back(v);
    }
    return operands;
  }

  // A member as it goes into the body. Of a result stays what readers are told.
  Node Leave(NodeId id, const Region& region) {
    Node& node = graph_.node(id);
    if (!IsResult(id, region)) return std::move(node);
    Node copy = node;
    node.operands.clear();
    return copy;
  }

  // The nested graph; its inputs are bound to the operands.
  absl::StatusOr<std::shared_ptr<const Graph>> Body(int index) {
    const Region& region = regions_[index];
    auto body = std::make_shared<Graph>();
    GraphBuilder b(*body);
    std::map<Value, Value> read;  // from outside the region
    // The constants among them counted as often as they are read: members may share a few.
    const size_t own = region.operands.size() + region.members.size();
    body->Reserve(static_cast<int>(own + std::min(own, static_cast<size_t>(region.constants))));
    // Inputs first: they are the body's signature.
    for (Value v : region.operands) read[v] = b.Input("", graph_.type(v));
    for (NodeId id : region.members) {
      const Node& member = graph_.node(id);
      became_.insert(member.op);
      for (Value v : member.operands) {
        if (!IsMember(v, index) && read.count(v) == 0)
          read[v] = b.Constant(graph_.node(v.node).Tensor("value"));
      }
      inside_[id] = body->Add(Leave(id, region));
      for (Value& v : body->node(inside_[id]).operands)
        v = IsMember(v, index) ? Value{inside_[v.node], 0} : read[v];
    }
    for (NodeId id : region.results) b.Output("", {inside_[id], 0});
    RLX_TRY(b.status());
    return body;
  }

  bool Gone(NodeId id) const {
    const int region = region_of_[id];
    return region >= 0 && !regions_[region].operands.empty();
  }

  // The nodes that stay, in order, and then the regions: so as if these had been appended and put
  // in their members' places.
  absl::Status Rebuild(std::vector<Node> made) {
    for (OpKind op : became_) context_.became[op].insert(OpKind::kElementwiseRegion);
    context_.changed = true;
    Graph next;
    next.name = std::move(graph_.name);
    next.symbols = std::move(graph_.symbols);
    next.constraints = std::move(graph_.constraints);
    next.aliases = std::move(graph_.aliases);
    next.Reserve(Place());
    std::vector<Value> unread;  // what nobody read before either stays
    for (NodeId id = 0; id < graph_.size(); ++id) {
      if (Gone(id)) continue;
      Node node = std::move(graph_.node(id));
      for (Value& v : node.operands) v = Now(v);
      if (!IsRead(id, node)) unread.push_back(Now({id, 0}));
      next.Add(std::move(node));
    }
    auto node = made.begin();
    for (const Region& region : regions_) {
      if (region.operands.empty()) continue;
      for (Value& v : node->operands) v = Now(v);
      const NodeId id = next.Add(std::move(*node++));
      if (!fixed_[region.tail]) Report(region, next, id);
    }
    return Finish(std::move(next), unread);
  }

  // Where everything will be; how many nodes that makes.
  int Place() {
    NodeId place = 0;
    now_.resize(region_of_.size());
    for (NodeId id = 0; id < graph_.size(); ++id)
      if (!Gone(id)) now_[id] = {place++, 0};
    for (const Region& region : regions_) {
      if (region.operands.empty()) continue;
      for (size_t r = 0; r < region.results.size(); ++r)
        now_[region.results[r]] = {place, static_cast<int32_t>(r)};
      ++place;
    }
    return place;
  }

  Value Now(Value v) const { return {now_[v.node].node, now_[v.node].result + v.result}; }

  bool IsRead(NodeId id, const Node& node) const {
    for (int32_t r = 0; r < static_cast<int32_t>(node.results.size()); ++r)
      if (uses_.Count({id, r}) > 0) return true;
    return false;
  }

  // In order, without what only members read.
  absl::Status Finish(Graph next, const std::vector<Value>& unread) {
    const std::vector<Output> outputs = graph_.outputs();
    for (const Output& output : outputs) next.AddOutput(output.name, Now(output.value));
    for (Value v : unread) next.AddOutput("", v);
    RLX_TRY(next.Normalize().status());
    const std::vector<Output> sorted = next.outputs();
    next.ClearOutputs();
    for (size_t i = 0; i < outputs.size(); ++i) next.AddOutput(sorted[i].name, sorted[i].value);
    graph_ = std::move(next);
    return absl::OkStatus();
  }

  Graph& graph_;
  PassContext& context_;
  const Uses uses_;
  const std::vector<bool> fixed_;
  std::vector<int> region_of_;  // by node; -1: none
  std::vector<NodeId> inside_;  // by node: what it is in the body of its region
  std::vector<Region> regions_;
  std::set<OpKind> became_;  // regions
  std::vector<Value> now_;   // by node: its result 0 in the new graph
  std::vector<Value> more_;  // MoreInputs
  int constants_ = 0;        // what it found of them
};

}  // namespace

absl::Status MarkElementwiseRegions(Graph& graph, PassContext& context) {
  return Marking(graph, context).Run();
}

extern const Pass kMarkElementwiseRegionsPass = {
    .name = "mark_elementwise_regions",
    .run = MarkElementwiseRegions,
    .gate = "ElementwiseRegion",
    .fusion = true,
    .after = "lower_broadcast",
    .why_out =
        [](const PassContext& c) {
          return std::string_view(c.unfuse_regions ? "unfuse_elementwise_regions is set" : "");
        },
    .why = "After every pattern: regions take the elementwise nodes that are left",
};

}  // namespace rlx::passes
