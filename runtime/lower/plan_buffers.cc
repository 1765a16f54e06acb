// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/base/status.h"
#include "runtime/device/backend.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/verify.h"
#include "runtime/lower/arena.h"
#include "runtime/lower/lower.h"
#include "runtime/lower/views.h"

namespace rlx::lower {
namespace {

struct Planner {
  const Graph& graph;
  const PlanOptions& options;
  const device::Backend* backend;
  Uses uses{graph};
  BufferPlan plan;
  std::vector<std::vector<View>> views = std::vector<std::vector<View>>(graph.size());
  std::vector<std::vector<Assignment>> at = std::vector<std::vector<Assignment>>(graph.size());

  absl::StatusOr<BufferPlan> Run() {
    FindSymbols();
    plan.weight_only = WeightOnly(graph);
    for (NodeId id = 0; id < graph.size(); ++id) {
      if (!IsLeaf(graph.node(id).op)) plan.schedule.push_back(id);
    }
    for (NodeId id = 0; id < graph.size(); ++id) RLX_TRY(Place(id));
    RLX_TRY(PlanSlots());
    FindPhases();
    DescribeIo(graph, plan);
    for (const auto& results : at) {
      plan.assignments.insert(plan.assignments.end(), results.begin(), results.end());
    }
    return std::move(plan);
  }

  void FindSymbols() {
    std::vector<std::string>& symbols = plan.dynamic_symbols;
    for (const Node& node : graph.nodes()) {
      for (const TensorType& type : node.results) {
        for (const Dim& dim : type.shape) dim.CollectSymbols(symbols);
      }
    }
    std::sort(symbols.begin(), symbols.end());
    symbols.erase(std::unique(symbols.begin(), symbols.end()), symbols.end());
  }

  absl::Status Place(NodeId id) {
    const Node& node = graph.node(id);
    for (int32_t r = 0; r < static_cast<int32_t>(node.results.size()); ++r) {
      const Value value{id, r};
      const TensorType& type = node.results[r];
      Assignment assignment{.value = value, .root = value};
      View view{value, 0, {}, true};
      if (type.is_static()) {
        const auto bytes = type.ByteSize();
        if (!bytes) return ResourceExhausted(NodeLabel(graph, id), ": the size overflows");
        assignment.bytes = *bytes;
        view.strides = RowMajorStrides(type.StaticDims());
        assignment.storage = StorageOf(node, value);
        if (!IsLeaf(node.op) && !uses.IsOutput(value)) TryView(node, value, view, assignment);
      }
      views[id].push_back(std::move(view));
      at[id].push_back(std::move(assignment));
    }
    return absl::OkStatus();
  }

  Storage StorageOf(const Node& node, Value value) const {
    switch (node.op) {
      case OpKind::kInput:
        return Storage::kInput;
      case OpKind::kParam:
        return Storage::kParam;
      case OpKind::kConstant:
        return Storage::kConstant;
      default:
        break;
    }
    if (uses.Count(value) == 0) return Storage::kNone;
    if (plan.weight_only[value.node]) return Storage::kWeight;
    return uses.IsOutput(value) ? Storage::kOutput : Storage::kArena;
  }

  void TryView(const Node& node, Value value, View& view, Assignment& assignment) const {
    if (assignment.storage == Storage::kNone || node.operands.empty()) return;
    const Value operand = node.operands[0];
    if (!graph.type(operand).is_static()) return;
    std::optional<View> found = ViewOf(graph, node, views[operand.node][operand.result]);
    if (!found || (!found->dense && !EveryReaderTakesStrides(value))) return;
    view = std::move(*found);
    assignment.storage = Storage::kView;
    assignment.root = view.root;
    assignment.element_offset = view.offset;
    if (!view.dense) assignment.strides = view.strides;
  }

  bool EveryReaderTakesStrides(Value value) const {
    if (backend == nullptr) return false;
    const auto& readers = uses.of(value);
    return std::all_of(readers.begin(), readers.end(), [&](const Uses::Use& use) {
      return use.node >= 0 && backend->AcceptsStrided(graph, use.node, use.slot);
    });
  }

  // Arena slots live from the node that writes them to the last that reads them, also through
  // views.
  absl::Status PlanSlots() {
    std::vector<ArenaRequest> requests;
    std::vector<Assignment*> slots;
    for (NodeId id = 0; id < graph.size(); ++id) {
      for (Assignment& a : at[id]) {
        if (a.storage != Storage::kArena) continue;
        requests.push_back({a.bytes, id, LastRead(a.value)});
        slots.push_back(&a);
      }
    }
    const auto arena = PlanArena(requests, options.alignment);
    if (!arena) return ResourceExhausted("the arena of \"", graph.name, "\" overflows");
    for (size_t k = 0; k < slots.size(); ++k) {
      slots[k]->offset = arena->offsets[k];
      plan.unshared_bytes += slots[k]->bytes;
    }
    plan.arena_bytes = arena->bytes;
    plan.alignment = options.alignment;
    return absl::OkStatus();
  }

  // A stack, since a chain of views may be as long as the graph.
  NodeId LastRead(Value value) const {
    NodeId last = value.node;
    std::vector<Value> pending = {value};
    while (!pending.empty()) {
      const Value v = pending.back();
      pending.pop_back();
      for (const Uses::Use& use : uses.of(v)) {
        if (use.node < 0) continue;
        last = std::max(last, use.node);
        for (const Assignment& a : at[use.node]) {
          if (a.storage == Storage::kView && a.root == at[v.node][v.result].root && use.slot == 0) {
            pending.push_back(a.value);
          }
        }
      }
    }
    return last;
  }

  // Leaves come before everything. Choices of tokens, what follows the last of them, and what
  // follows the last contraction or other heavy op are the tail.
  void FindPhases() {
    const NodeId none = graph.size();
    NodeId last_compute = -1, last_sample = none;
    for (NodeId id = 0; id < graph.size(); ++id) {
      const Node& node = graph.node(id);
      const OpClass c = Info(node.op).op_class;
      if (node.op == OpKind::kSample) last_sample = id;
      if (!Chooses(node) && c != OpClass::kLeaf && c != OpClass::kMovement &&
          c != OpClass::kElementwise) {
        last_compute = id;
      }
    }
    for (NodeId id = 0; id < graph.size(); ++id) {
      const Node& node = graph.node(id);
      const bool tail = Chooses(node) || id > last_compute || id > last_sample;
      plan.phases.push_back(IsLeaf(node.op) ? Phase::kPrologue
                            : tail          ? Phase::kEpilogue
                                            : Phase::kSteadyState);
    }
  }

  static bool Chooses(const Node& node) {
    return node.op == OpKind::kSample || node.op == OpKind::kTopK;
  }
};

}  // namespace

absl::StatusOr<BufferPlan> PlanBuffers(const Graph& graph, const PlanOptions& options,
                                       const device::Backend* backend) {
  return Planner{.graph = graph, .options = options, .backend = backend}.Run();
}

}  // namespace rlx::lower
