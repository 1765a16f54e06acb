// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <queue>

#include "runtime/base/checked.h"
#include "runtime/base/status.h"
#include "runtime/device/backend.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/verify.h"
#include "runtime/lower/lower.h"
#include "runtime/lower/views.h"

namespace rlx::lower {
namespace {

constexpr int64_t kMinAlignment = 16, kMaxAlignment = 4096;

class PlanVerifier {
 public:
  PlanVerifier(const Graph& graph, const BufferPlan& plan, const device::Backend* backend)
      : graph_(graph), plan_(plan), backend_(backend) {}

  absl::Status Run() {
    RLX_TRY(CheckHeader());
    RLX_TRY(CheckManifest());
    RLX_TRY(CheckSchedule());
    RLX_TRY(CheckCoverage());
    for (NodeId id = 0; id < graph_.size(); ++id) RLX_TRY(CheckNode(id));
    FindLastReads();
    RLX_TRY(CheckAliases());
    return CheckSlots();
  }

 private:
  std::string Label(Value v) const {
    return Cat(NodeLabel(graph_, v.node), v.result > 0 ? Cat(" result ", v.result) : "");
  }

  absl::Status CheckHeader() const {
    const int64_t a = plan_.alignment;
    if (a < kMinAlignment || a > kMaxAlignment || (a & (a - 1)) != 0) {
      return InvalidArgument("the plan's alignment is ", a, ", not a power of two in [",
                             kMinAlignment, ", ", kMaxAlignment, "]");
    }
    std::vector<std::string> symbols;
    for (const Node& node : graph_.nodes()) {
      for (const TensorType& type : node.results) {
        for (const Dim& dim : type.shape) dim.CollectSymbols(symbols);
      }
    }
    std::sort(symbols.begin(), symbols.end());
    symbols.erase(std::unique(symbols.begin(), symbols.end()), symbols.end());
    if (symbols != plan_.dynamic_symbols) {
      return InvalidArgument("the plan says that ", Join(plan_.dynamic_symbols, ", "),
                             " are unbound, the graph has ", Join(symbols, ", "));
    }
    return absl::OkStatus();
  }

  absl::Status CheckManifest() const {
    BufferPlan expected;
    DescribeIo(graph_, expected);
    RLX_TRY(CheckEntries("input", plan_.inputs, expected.inputs));
    RLX_TRY(CheckEntries("param", plan_.params, expected.params));
    return CheckEntries("output", plan_.outputs, expected.outputs);
  }

  static absl::Status CheckEntries(std::string_view what, const std::vector<IoEntry>& given,
                                   const std::vector<IoEntry>& expected) {
    if (given.size() != expected.size()) {
      return InvalidArgument("the plan has ", given.size(), " ", what, "s, the graph ",
                             expected.size());
    }
    for (size_t i = 0; i < given.size(); ++i) {
      if (given[i] == expected[i]) continue;
      return InvalidArgument(what, " ", i, ": the plan has \"", given[i].name,
                             "\" : ", given[i].type, " at ", given[i].value, ", the graph \"",
                             expected[i].name, "\" : ", expected[i].type, " at ",
                             expected[i].value);
    }
    return absl::OkStatus();
  }

  absl::Status CheckSchedule() {
    position_.assign(graph_.size(), -1);
    for (size_t i = 0; i < plan_.schedule.size(); ++i) {
      const NodeId id = plan_.schedule[i];
      if (id < 0 || id >= graph_.size()) {
        return InvalidArgument("the schedule names node ", id, ", which is not there");
      }
      if (IsLeaf(graph_.node(id).op)) {
        return InvalidArgument("the schedule runs ", NodeLabel(graph_, id), ", a leaf");
      }
      if (position_[id] >= 0) {
        return InvalidArgument("the schedule runs ", NodeLabel(graph_, id), " twice");
      }
      for (Value operand : graph_.node(id).operands) {
        if (IsLeaf(graph_.node(operand.node).op) || position_[operand.node] >= 0) continue;
        return InvalidArgument("the schedule runs ", NodeLabel(graph_, id), " before ",
                               NodeLabel(graph_, operand.node), ", which it reads");
      }
      position_[id] = static_cast<int32_t>(i);
    }
    for (NodeId id = 0; id < graph_.size(); ++id) {
      if (position_[id] >= 0 || IsLeaf(graph_.node(id).op)) continue;
      return InvalidArgument("the schedule never runs ", NodeLabel(graph_, id));
    }
    return absl::OkStatus();
  }

  absl::Status CheckCoverage() {
    if (plan_.phases.size() != static_cast<size_t>(graph_.size())) {
      return InvalidArgument("the plan has phases for ", plan_.phases.size(), " of ", graph_.size(),
                             " nodes");
    }
    auto next = plan_.assignments.begin();
    for (NodeId id = 0; id < graph_.size(); ++id) {
      first_.push_back(next - plan_.assignments.begin());
      for (int32_t r = 0; r < static_cast<int32_t>(graph_.node(id).results.size()); ++r) {
        if (next == plan_.assignments.end() || next->value != Value{id, r}) {
          return InvalidArgument(Label({id, r}), " has no place in the plan, or not in order");
        }
        ++next;
      }
    }
    if (next == plan_.assignments.end()) return absl::OkStatus();
    return InvalidArgument("the plan places ", next->value, " twice, or it is not there");
  }

  const Assignment& At(Value v) const { return plan_.assignments[first_[v.node] + v.result]; }

  absl::Status CheckNode(NodeId id) {
    const Node& node = graph_.node(id);
    fixed_.push_back(IsLeaf(node.op) ? node.op != OpKind::kInput
                                     : std::all_of(node.operands.begin(), node.operands.end(),
                                                   [&](Value v) { return bool{fixed_[v.node]}; }));
    views_.emplace_back();
    for (int32_t r = 0; r < static_cast<int32_t>(node.results.size()); ++r) {
      const Value value{id, r};
      views_[id].push_back({value, 0, {}, true});
      absl::Status status = CheckValue(node, value, At(value), views_[id][r]);
      if (!status.ok()) return Annotate(status, Label(value));
    }
    return absl::OkStatus();
  }

  absl::Status CheckValue(const Node& node, Value value, const Assignment& a, View& view) const {
    const TensorType& type = graph_.type(value);
    const int64_t bytes = type.is_static() ? type.ByteSize().value_or(-1) : 0;
    if (a.bytes != bytes) return InvalidArgument("has ", bytes, " bytes, the plan says ", a.bytes);
    if (a.storage != Storage::kArena && a.offset != 0) {
      return InvalidArgument("is not in the arena and has the offset ", a.offset);
    }
    RLX_TRY(CheckStorage(node, value, a.storage));
    if (type.is_static()) view.strides = RowMajorStrides(type.StaticDims());
    if (a.storage == Storage::kView) return CheckView(node, value, a, view);
    if (a.root == value && a.element_offset == 0 && a.strides.empty()) return absl::OkStatus();
    return InvalidArgument("is placed as a view without being one");
  }

  // Where a value of its kind may be.
  absl::Status CheckStorage(const Node& node, Value value, Storage storage) const {
    const std::vector<Storage> allowed = Allowed(node, value);
    if (std::find(allowed.begin(), allowed.end(), storage) != allowed.end()) {
      return absl::OkStatus();
    }
    return InvalidArgument(
        "is placed in ", Name(storage), ", not in ",
        Join(allowed, " or ", [](std::string& out, Storage s) { out += rlx::Name(s); }));
  }

  std::vector<Storage> Allowed(const Node& node, Value value) const {
    if (!graph_.type(value).is_static()) return {Storage::kNone};
    if (node.op == OpKind::kInput) return {Storage::kInput};
    if (node.op == OpKind::kParam) return {Storage::kParam};
    if (node.op == OpKind::kConstant) return {Storage::kConstant};
    if (uses_.Count(value) == 0) return {Storage::kNone};
    const bool output = uses_.IsOutput(value);
    if (fixed_[value.node]) {
      return output ? std::vector{Storage::kWeight} : std::vector{Storage::kWeight, Storage::kView};
    }
    return output ? std::vector{Storage::kOutput, Storage::kArena}
                  : std::vector{Storage::kArena, Storage::kView};
  }

  absl::Status CheckView(const Node& node, Value value, const Assignment& a, View& view) const {
    if (node.operands.empty() || !graph_.type(node.operands[0]).is_static()) {
      return InvalidArgument("is no view: it has no operand of known size");
    }
    const Value operand = node.operands[0];
    const auto found = ViewOf(graph_, node, views_[operand.node][operand.result]);
    if (!found) return InvalidArgument("cannot be a view of ", Label(operand));
    if (a.root != found->root || a.element_offset != found->offset) {
      return InvalidArgument("lies at element ", found->offset, " of ", found->root,
                             ", the plan says ", a.element_offset, " of ", a.root);
    }
    if (a.strides != (found->dense ? std::vector<int64_t>{} : found->strides)) {
      return InvalidArgument("has strides [", Join(found->strides, ","),
                             found->dense ? "] (dense: left out)" : "]", ", the plan says [",
                             Join(a.strides, ","), "]");
    }
    if (!found->dense) RLX_TRY(CheckStridedReaders(value));
    view = *found;
    return absl::OkStatus();
  }

  absl::Status CheckStridedReaders(Value value) const {
    for (const Uses::Use& use : uses_.of(value)) {
      if (backend_ != nullptr && backend_->AcceptsStrided(graph_, use.node, use.slot)) continue;
      return InvalidArgument("is a strided view, which ", NodeLabel(graph_, use.node),
                             " does not read on this target");
    }
    return absl::OkStatus();
  }

  // Steps at which roots are read for the last time, also through views.
  void FindLastReads() {
    for (NodeId id = 0; id < graph_.size(); ++id) {
      last_read_.emplace_back(graph_.node(id).results.size(), std::pair(position_[id], id));
    }
    for (NodeId id = 0; id < graph_.size(); ++id) {
      for (Value operand : graph_.node(id).operands) {
        const Value root = views_[operand.node][operand.result].root;
        auto& last = last_read_[root.node][root.result];
        last = std::max(last, std::pair(position_[id], id));
      }
    }
  }

  // The graph's own order was judged with the graph; the schedule may differ.
  absl::Status CheckAliases() const {
    const std::vector<NodeId> inputs = graph_.inputs();
    for (const auto& [input, output] : graph_.aliases) {
      const auto& [step, reader] = last_read_[inputs[input]][0];
      if (step <= position_[graph_.outputs()[output].value.node]) continue;
      return InvalidArgument("alias ", input, " -> ", output, ": the schedule runs ",
                             NodeLabel(graph_, reader),
                             ", which reads the input, after the output is made");
    }
    return absl::OkStatus();
  }

  struct Slot {
    Value value;
    int64_t offset = 0, end = 0;
    int32_t first = 0, last = 0;
  };

  absl::StatusOr<Slot> SlotOf(const Assignment& a) const {
    const int64_t mask = plan_.alignment - 1;
    if (a.offset < 0 || (a.offset & mask) != 0) {
      return InvalidArgument(Label(a.value), " is at ", a.offset, ", no multiple of ",
                             plan_.alignment);
    }
    const auto end = CheckedAdd(a.offset, a.bytes);
    if (!end || *end > plan_.arena_bytes) {
      return InvalidArgument(Label(a.value), " needs ", a.bytes, " bytes at ", a.offset,
                             " of an arena of ", plan_.arena_bytes);
    }
    const int32_t last = uses_.IsOutput(a.value) ? static_cast<int32_t>(plan_.schedule.size())
                                                 : last_read_[a.value.node][a.value.result].first;
    return Slot{a.value, a.offset, *end, position_[a.value.node], last};
  }

  absl::Status CheckSlots() const {
    std::vector<Slot> slots;
    int64_t apart = 0, unshared = 0;  // an arena without sharing, with its padding and without
    for (const Assignment& a : plan_.assignments) {
      if (a.storage != Storage::kArena) continue;
      RLX_ASSIGN(slots.emplace_back(), SlotOf(a));
      const auto sum = CheckedAdd(apart, (a.bytes + plan_.alignment - 1) & -plan_.alignment);
      if (!sum) return ResourceExhausted("the arena overflows");
      apart = *sum;
      unshared += a.bytes;
    }
    if (plan_.unshared_bytes != unshared) {
      return InvalidArgument("the arena's values have ", unshared, " bytes, the plan says ",
                             plan_.unshared_bytes);
    }
    if (plan_.arena_bytes < 0 || plan_.arena_bytes > apart) {
      return InvalidArgument("the arena has ", plan_.arena_bytes, " bytes, its values need ", apart,
                             " without sharing any");
    }
    std::sort(slots.begin(), slots.end(),
              [](const Slot& a, const Slot& b) { return a.first < b.first; });
    return CheckOverlaps(slots);
  }

  // One sweep over the steps. Slots that live at a time do not overlap, so that a new one can only
  // meet its neighbours.
  absl::Status CheckOverlaps(const std::vector<Slot>& slots) const {
    const auto later = [&](size_t a, size_t b) { return slots[a].last > slots[b].last; };
    std::priority_queue<size_t, std::vector<size_t>, decltype(later)> ends(later);
    std::map<int64_t, size_t> live;  // by offset
    for (size_t s = 0; s < slots.size(); ++s) {
      for (; !ends.empty() && slots[ends.top()].last < slots[s].first; ends.pop()) {
        live.erase(slots[ends.top()].offset);
      }
      const auto after = live.lower_bound(slots[s].offset);
      if (after != live.end() && after->first < slots[s].end) {
        return Overlap(slots[after->second], slots[s]);
      }
      if (after != live.begin() && slots[std::prev(after)->second].end > slots[s].offset) {
        return Overlap(slots[std::prev(after)->second], slots[s]);
      }
      live.emplace(slots[s].offset, s);
      ends.push(s);
    }
    return absl::OkStatus();
  }

  absl::Status Overlap(const Slot& a, const Slot& b) const {
    return InvalidArgument(Label(a.value), " at [", a.offset, ", ", a.end, ") and ", Label(b.value),
                           " at [", b.offset, ", ", b.end, ") overlap while both hold data");
  }

  const Graph& graph_;
  const BufferPlan& plan_;
  const device::Backend* backend_;
  const Uses uses_{graph_};
  std::vector<int32_t> position_;  // in the schedule; -1: a leaf
  std::vector<ptrdiff_t> first_;   // assignment of result 0
  std::vector<bool> fixed_;        // depends on weights and constants alone
  std::vector<std::vector<View>> views_;
  std::vector<std::vector<std::pair<int32_t, NodeId>>> last_read_;  // step, reader; of roots
};

}  // namespace

absl::Status VerifyPlan(const Graph& graph, const BufferPlan& plan,
                        const device::Backend* backend) {
  return PlanVerifier(graph, plan, backend).Run();
}

}  // namespace rlx::lower
