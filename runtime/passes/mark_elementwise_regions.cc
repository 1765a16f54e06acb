// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <set>

#include "runtime/base/status.h"
#include "runtime/ir/op_info.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

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
  std::vector<NodeId> members;  // last first
  std::vector<NodeId> results;  // members read from outside, the tail first
  std::set<Value> inputs;
};

class Marking {
 public:
  Marking(Graph& graph, PassContext& context)
      : graph_(graph),
        context_(context),
        rewriter_(graph, context),
        fixed_(WeightOnly(graph)),
        region_of_(graph.size(), -1),
        inside_(graph.size(), -1) {}

  absl::Status Run() {
    // Readers first: a node's readers have found their regions before it looks for its own.
    for (NodeId id = rewriter_.size() - 1; id >= 0; --id) {
      if (Eligible(id) && !JoinReaders(id)) Start(id);
    }
    for (size_t index = 0; index < regions_.size(); ++index) {
      if (regions_[index].members.size() > 1) RLX_TRY(Emit(static_cast<int>(index)));
    }
    return rewriter_.Finish();
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

  // What the region does not read yet, each once.
  std::vector<Value> MoreInputs(NodeId id, const Region& region) const {
    std::vector<Value> more;
    for (Value v : graph_.node(id).operands) {
      if (IsScalarConstant(v) || region.inputs.count(v) > 0) continue;
      if (std::ranges::find(more, v) == more.end()) more.push_back(v);
    }
    return more;
  }

  void Start(NodeId id) {
    region_of_[id] = static_cast<int>(regions_.size());
    Region region{id, {id}, {id}, {}};
    const std::vector<Value> inputs = MoreInputs(id, region);
    region.inputs.insert(inputs.begin(), inputs.end());
    regions_.push_back(std::move(region));
  }

  // The region with the lowest tail among the readers'; -1 when none is in a region.
  int FirstRegion(NodeId id) const {
    int first = -1;
    for (const Uses::Use& use : rewriter_.uses().of({id, 0})) {
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
    for (const Uses::Use& use : rewriter_.uses().of({id, 0})) {
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
    const std::vector<Value> more = MoreInputs(id, region);
    // Its own value is an input of the region until it joins.
    if (region.inputs.size() - 1 + more.size() > context_.limits.max_elementwise_inputs) {
      return false;
    }
    region.inputs.erase({id, 0});
    region.inputs.insert(more.begin(), more.end());
    region.members.push_back(id);
    if (*outside) region.results.push_back(id);
    region_of_[id] = index;
    return true;
  }

  absl::Status Emit(int index) {
    const Region& region = regions_[index];
    std::vector<Value> operands;
    RLX_ASSIGN(std::shared_ptr<const Graph> body, Body(index, operands));
    if (operands.empty()) return absl::OkStatus();  // constants alone: for constant folding
    if (!fixed_[region.tail]) Report(region);
    const std::vector<Value> made =
        rewriter_.For(region.members)
            .EmitAll(OpKind::kElementwiseRegion, std::move(operands), {}, {std::move(body)});
    for (size_t r = 0; r < made.size(); ++r) rewriter_.Replace({region.results[r], 0}, made[r]);
    return absl::OkStatus();
  }

  void Report(const Region& region) {
    std::vector<Value> read;
    BoundedBytes written;
    for (NodeId id : region.members) {
      if (id == region.tail) continue;
      read.push_back({id, 0});
      if (std::ranges::count(region.results, id) > 0)
        written += RoundTripBytes(graph_, {{id, 0}}) / 2;
    }
    Applied(context_, kRule, graph_, region.members,
            Cat(region.members.size(), " elementwise nodes up to ", Label(graph_, region.tail),
                " become one kernel"),
            {.launches = static_cast<int64_t>(read.size()),
             .bytes = RoundTripBytes(graph_, read) - written});
  }

  bool IsMember(Value v, int region) const { return region_of_[v.node] == region; }

  // The nested graph; its inputs are bound to `operands`, in order of first use.
  absl::StatusOr<std::shared_ptr<const Graph>> Body(int index, std::vector<Value>& operands) {
    const Region& region = regions_[index];
    const std::vector<NodeId> members(region.members.rbegin(), region.members.rend());
    auto body = std::make_shared<Graph>();
    GraphBuilder b(*body);
    std::map<Value, Value> read;  // from outside the region
    // Inputs first: they are the body's signature.
    for (NodeId id : members) {
      for (Value v : graph_.node(id).operands) {
        if (region.inputs.count(v) == 0 || read.count(v) > 0) continue;
        read[v] = b.Input("", graph_.type(v));
        operands.push_back(v);
      }
    }
    for (NodeId id : members) {
      Node copy = graph_.node(id);
      for (Value& v : copy.operands) {
        if (IsMember(v, index)) {
          v = {inside_[v.node], 0};
          continue;
        }
        if (read.count(v) == 0) read[v] = b.Constant(graph_.node(v.node).Tensor("value"));
        v = read[v];
      }
      inside_[id] = body->Add(std::move(copy));
    }
    for (NodeId id : region.results) b.Output("", {inside_[id], 0});
    RLX_TRY(b.status());
    return body;
  }

  Graph& graph_;
  PassContext& context_;
  Rewriter rewriter_;
  const std::vector<bool> fixed_;
  std::vector<int> region_of_;  // by node; -1: none
  std::vector<NodeId> inside_;  // by node: what it is in the body of its region
  std::vector<Region> regions_;
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
