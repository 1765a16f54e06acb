// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/checked.h"
#include "runtime/base/status.h"
#include "runtime/wire/enums.h"
#include "runtime/wire/module.h"
#include "runtime/wire/tensor.h"

namespace rlx::wire {
namespace {

absl::StatusOr<Value> ValueIn(const Graph& graph, uint32_t node, uint32_t result) {
  if (node >= static_cast<uint32_t>(graph.size()) ||
      result >= graph.node(static_cast<NodeId>(node)).results.size()) {
    return InvalidArgument("the plan names value ", node, ".", result, ", which is not there");
  }
  return Value{static_cast<NodeId>(node), static_cast<int32_t>(result)};
}

// Nothing in a plan is as large as what a signed number cannot hold.
absl::StatusOr<int64_t> Signed(std::string_view field, uint64_t value) {
  if (value <= INT64_MAX) return static_cast<int64_t>(value);
  return InvalidArgument("the plan's ", field, " ", value, " is above ", INT64_MAX);
}

absl::StatusOr<Assignment> AssignmentFromWire(const v1::Assignment& from, const Graph& graph) {
  Assignment out;
  RLX_ASSIGN(out.value, ValueIn(graph, from.node(), from.result()));
  RLX_ASSIGN(out.root, ValueIn(graph, from.root_node(), from.root_result()));
  const auto storage = FromWire(from.storage());
  if (!storage) return InvalidArgument("unknown storage ", static_cast<int>(from.storage()));
  out.storage = *storage;
  RLX_ASSIGN(out.offset, Signed("offset", from.offset()));
  RLX_ASSIGN(out.bytes, Signed("size", from.size()));
  RLX_ASSIGN(out.element_offset, Signed("element_offset", from.element_offset()));
  out.strides.assign(from.strides().begin(), from.strides().end());
  return out;
}

void BindingToWire(const IoEntry& entry, v1::Binding& out) {
  out.set_name(entry.name);
  TypeToWire(entry.type, *out.mutable_type());
  out.set_byte_size(static_cast<uint64_t>(entry.type.ByteSize().value_or(0)));
  out.set_node(static_cast<uint32_t>(entry.value.node));
  out.set_result(static_cast<uint32_t>(entry.value.result));
}

}  // namespace

absl::StatusOr<BufferPlan> PlanFromWire(const v1::MemoryPlan& from, const Graph& graph) {
  BufferPlan plan;
  RLX_ASSIGN(plan.arena_bytes, Signed("arena_size", from.arena_size()));
  RLX_ASSIGN(plan.alignment, Signed("alignment", from.alignment()));
  RLX_ASSIGN(plan.unshared_bytes, Signed("unshared_bytes", from.unshared_bytes()));
  for (const v1::Assignment& assignment : from.assignments()) {
    RLX_ASSIGN(Assignment a, AssignmentFromWire(assignment, graph));
    if (!plan.assignments.empty() && !(plan.assignments.back().value < a.value)) {
      return InvalidArgument("the plan's assignments are not sorted by value");
    }
    plan.assignments.push_back(std::move(a));
  }
  size_t values = 0;
  for (const Node& node : graph.nodes()) values += node.results.size();
  if (plan.assignments.size() != values) {
    return InvalidArgument("the plan has ", plan.assignments.size(), " assignments for ", values,
                           " values");
  }
  plan.phases.assign(graph.size(), Phase::kPrologue);
  for (const v1::ScheduledNode& scheduled : from.schedule()) {
    RLX_ASSIGN(Value value, ValueIn(graph, scheduled.node(), 0));
    const auto phase = FromWire(scheduled.phase());
    if (!phase) return InvalidArgument("unknown phase ", static_cast<int>(scheduled.phase()));
    plan.schedule.push_back(value.node);
    plan.phases[value.node] = *phase;
  }
  plan.weight_only = WeightOnly(graph);
  plan.dynamic_symbols.assign(from.dynamic_symbols().begin(), from.dynamic_symbols().end());
  DescribeIo(graph, plan);
  return plan;
}

void PlanToWire(const BufferPlan& plan, v1::MemoryPlan& out) {
  out.set_arena_size(static_cast<uint64_t>(plan.arena_bytes));
  out.set_alignment(static_cast<uint64_t>(plan.alignment));
  out.set_unshared_bytes(static_cast<uint64_t>(plan.unshared_bytes));
  for (const Assignment& a : plan.assignments) {
    v1::Assignment& to = *out.add_assignments();
    to.set_node(static_cast<uint32_t>(a.value.node));
    to.set_result(static_cast<uint32_t>(a.value.result));
    to.set_storage(ToWire(a.storage));
    to.set_offset(static_cast<uint64_t>(a.offset));
    to.set_size(static_cast<uint64_t>(a.bytes));
    to.set_root_node(static_cast<uint32_t>(a.root.node));
    to.set_root_result(static_cast<uint32_t>(a.root.result));
    to.set_element_offset(static_cast<uint64_t>(a.element_offset));
    to.mutable_strides()->Assign(a.strides.begin(), a.strides.end());
  }
  for (NodeId id : plan.schedule) {
    v1::ScheduledNode& to = *out.add_schedule();
    to.set_node(static_cast<uint32_t>(id));
    to.set_phase(ToWire(plan.phases[id]));
  }
  for (const std::string& symbol : plan.dynamic_symbols) out.add_dynamic_symbols(symbol);
}

void ManifestToWire(const BufferPlan& plan, const Graph& graph, v1::Manifest& out) {
  for (const IoEntry& entry : plan.inputs) BindingToWire(entry, *out.add_inputs());
  for (const IoEntry& entry : plan.params) BindingToWire(entry, *out.add_params());
  for (const IoEntry& entry : plan.outputs) BindingToWire(entry, *out.add_outputs());
  for (const auto& [name, range] : graph.symbols) {
    v1::Symbol& symbol = *out.add_symbols();
    symbol.set_name(name);
    symbol.set_min(range.min);
    symbol.set_max(range.max);
  }
  for (const AliasPair& alias : graph.aliases) {
    v1::Manifest::AliasPair& to = *out.add_aliases();
    to.set_input(plan.inputs[alias.input].name);
    to.set_output(plan.outputs[alias.output].name);
  }
}

}  // namespace rlx::wire
