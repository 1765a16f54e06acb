// SPDX-License-Identifier: Apache-2.0
#include "server/explain_wire.h"

#include "runtime/ir/all_nodes.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/text.h"
#include "runtime/passes/analysis.h"
#include "runtime/wire/enums.h"
#include "runtime/wire/module.h"
#include "runtime/wire/options.h"
#include "runtime/wire/report.h"
#include "server/compile_wire.h"

namespace rlx::server {
namespace {

using Nodes = google::protobuf::RepeatedPtrField<v1::ExplainedNode>;
using Ids = google::protobuf::RepeatedField<uint32_t>;

void IdsToWire(const std::vector<NodeId>& ids, Ids& out) {
  for (NodeId id : ids) out.Add(static_cast<uint32_t>(id));
}

// A region's ops, or a body's, in the order in which they run.
std::string BodiesText(const Node& node) {
  std::string out;
  for (const auto& body : node.subgraphs) {
    std::vector<std::string_view> ops;
    for (const Node& inner : body->nodes()) {
      if (!IsLeaf(inner.op)) ops.push_back(Name(inner.op));
    }
    out += Cat(out.empty() ? "" : "; ", "runs ", Join(ops, ", "));
  }
  return out;
}

// `first` is the number of the graph's first node.
void NodeToWire(const Graph& graph, NodeId id, int64_t first, v1::ExplainedNode& out) {
  const Node& node = graph.node(id);
  out.set_op(std::string(Name(node.op)));
  out.set_name(node.name);
  for (Value operand : node.operands) {
    v1::ValueRef& ref = *out.add_operands();
    ref.set_node(static_cast<uint32_t>(first + operand.node));
    ref.set_result(static_cast<uint32_t>(operand.result));
  }
  const std::string attrs = PrintAttrs(node), bodies = BodiesText(node);
  out.set_attributes(Cat(attrs, attrs.empty() || bodies.empty() ? "" : "; ", bodies));
  std::optional<uint64_t> bytes = 0;
  for (const TensorType& type : node.results) {
    out.add_types(Cat(type));
    const auto more = passes::CapacityBytes(graph, type);
    bytes = bytes && more ? std::optional(*bytes + static_cast<uint64_t>(*more)) : std::nullopt;
  }
  if (bytes) out.set_bytes(*bytes);
  for (const SourceRef& source : node.sources) {
    v1::SourceRef& to = *out.add_sources();
    to.set_kind(wire::ToWire(source.kind));
    to.set_id(static_cast<uint32_t>(source.id));
    to.set_name(source.name);
  }
}

void GraphToWire(const Graph& graph, Nodes& out) {
  const std::vector<PlacedNode> all = AllNodes(graph);
  for (size_t number = 0; number < all.size(); ++number) {
    const PlacedNode& at = all[number];
    v1::ExplainedNode& node = *out.Add();
    NodeToWire(*at.graph, at.id, static_cast<int64_t>(number) - at.id, node);
    if (at.holder >= 0) node.set_within(static_cast<uint32_t>(at.holder));
  }
}

// The blocks, and which MIR nodes each was lowered to.
void BlocksToWire(const Module& module, v1::ExplainResponse& out) {
  GraphToWire(module.graph, *out.mutable_hir());
  for (int id = 0; id < out.mir_size(); ++id) {
    for (const v1::SourceRef& source : out.mir(id).sources()) {
      if (source.kind() != v1::SourceRef::KIND_HIR) continue;
      if (source.id() >= static_cast<uint32_t>(out.hir_size())) continue;
      out.mutable_hir(static_cast<int>(source.id()))->add_became(static_cast<uint32_t>(id));
      out.mutable_mir(id)->add_made_from(source.id());
    }
  }
  for (v1::ExplainedNode& block : *out.mutable_hir()) {
    const bool same =
        block.became_size() == 1 && out.mir(static_cast<int>(block.became(0))).op() == block.op();
    block.set_fate(same                       ? v1::NODE_FATE_KEPT
                   : block.became_size() == 0 ? v1::NODE_FATE_DEAD
                   : block.became_size() == 1 ? v1::NODE_FATE_REWRITTEN
                                              : v1::NODE_FATE_DECOMPOSED);
  }
}

void FatesToWire(const stages::Explanation& what, v1::ExplainResponse& out) {
  for (size_t id = 0; id < what.fates.size(); ++id) {
    const stages::NodeFate& fate = what.fates[id];
    v1::ExplainedNode& node = *out.mutable_mir(static_cast<int>(id));
    node.set_fate(static_cast<v1::NodeFate>(static_cast<int>(fate.fate) + 1));
    node.set_pass(fate.pass);
    node.set_rule(fate.rule);
    IdsToWire(fate.became, *node.mutable_became());
  }
  for (size_t id = 0; id < what.made_from.size(); ++id) {
    IdsToWire(what.made_from[id], *out.mutable_lir(static_cast<int>(id))->mutable_made_from());
  }
  for (size_t remark = 0; remark < what.remark_nodes.size(); ++remark) {
    for (NodeId id : what.remark_nodes[remark]) {
      out.mutable_mir(id)->add_remarks(static_cast<uint32_t>(remark));
    }
  }
}

// The program's own nesting bounds the recursion.
void StepToWire(const device::Step& step, NodeId node, bool weights, uint32_t depth,
                v1::ExplainResponse& out) {
  v1::ExplainedStep& to = *out.add_steps();
  to.set_weights(weights);
  to.set_node(node);
  to.set_kind(std::string(device::Name(step.kind)));
  to.set_label(step.label);
  to.set_routine(step.routine);
  if (step.kernel >= 0) to.set_kernel(static_cast<uint32_t>(step.kernel));
  to.set_groups(static_cast<uint64_t>(step.groups));
  to.set_flops(static_cast<uint64_t>(step.cost_flops));
  to.set_bytes(static_cast<uint64_t>(step.cost_bytes));
  to.set_depth(depth);
  if (step.kind == device::Step::Kind::kLoop) {
    to.set_turns(static_cast<uint64_t>(device::LoopParts(step).most));
  }
  for (const auto& body : step.bodies) {
    for (const device::Step& inner : body) StepToWire(inner, node, weights, depth + 1, out);
  }
}

void StepsToWire(const std::vector<device::Step>& steps, const std::vector<NodeId>& nodes,
                 bool weights, v1::ExplainResponse& out) {
  for (size_t i = 0; i < steps.size(); ++i) StepToWire(steps[i], nodes[i], weights, 0, out);
}

void NodesToWire(const engine::Explained& explained, const Module& module,
                 v1::ExplainResponse& out) {
  const stages::Explanation& what = explained.what;
  const LirModule& lir = what.result.lir;
  out.set_module_name(module.graph.name);
  GraphToWire(what.mir, *out.mutable_mir());
  GraphToWire(lir.graph, *out.mutable_lir());
  FatesToWire(what, out);
  if (module.stage == Stage::kHir) BlocksToWire(module, out);
  wire::PlanToWire(lir.plan, *out.mutable_plan());
  wire::ManifestToWire(lir.plan, lir.graph, *out.mutable_manifest());
  for (const PassTiming& timing : what.result.passes) {
    wire::PassTimingToWire(timing, *out.add_passes());
  }
  TargetToWire(explained.target, what.result.options.fusion_target, *out.mutable_target());
  wire::OptionsToWire(explained.options, *out.mutable_options());
  out.set_why_no_steps(what.why_no_program);
  if (!what.program) return;
  const device::Program& program = what.program->program;
  StepsToWire(program.weight_steps, what.program->weight_step_nodes, true, out);
  StepsToWire(program.steps, what.program->step_nodes, false, out);
}

}  // namespace

void KernelSourceToWire(const engine::KernelSource& source, v1::KernelSource& out) {
  out.set_kernel(source.kernel);
  out.set_language(source.language);
  out.set_text(source.text);
  out.set_label(source.label);
}

void ExplainedToWire(const engine::Explained& explained, const Module& module,
                     const v1::ExplainRequest& request, v1::ExplainResponse& out) {
  const stages::CompileResult& result = explained.what.result;
  out.set_text(Cat(result.fusion.ToString(), "\n", result.dispatch.ToString()));
  wire::FusionReportToWire(result.fusion, *out.mutable_fusion());
  wire::DispatchReportToWire(result.dispatch, *out.mutable_dispatch());
  if (request.nodes()) NodesToWire(explained, module, out);
  if (!request.kernels()) return;
  for (const engine::KernelSource& kernel : explained.kernels) {
    KernelSourceToWire(kernel, *out.add_kernels());
  }
}

}  // namespace rlx::server
