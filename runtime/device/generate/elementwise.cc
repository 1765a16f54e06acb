// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "runtime/base/status.h"
#include "runtime/device/generate/emit_op.h"
#include "runtime/device/generate/generate.h"
#include "runtime/ir/op_info.h"

namespace rlx::device {
namespace {

bool IsScalarConstant(const Node& node) {
  return node.op == OpKind::kConstant && node.Tensor("value").size() == 1;
}

using ValueMap = std::map<rlx::Value, kernel::Value>;

// The body's nodes on the values of its inputs; one kernel value per output.
std::vector<kernel::Value> EmitBody(kernel::Builder& b, const Graph& body, ValueMap values) {
  for (NodeId id = 0; id < body.size(); ++id) {
    const Node& node = body.node(id);
    if (node.op == OpKind::kInput) continue;
    if (node.op == OpKind::kConstant) {
      values[{id, 0}] = EmitImmediate(b, node.Tensor("value"));
      continue;
    }
    std::vector<kernel::Value> operands;
    for (rlx::Value v : node.operands) operands.push_back(values.at(v));
    values[{id, 0}] = EmitOp(b, node, operands);
  }
  std::vector<kernel::Value> out;
  for (const Output& output : body.outputs()) out.push_back(values.at(output.value));
  return out;
}

std::string WhyNotBody(const Graph& body) {
  for (const Node& node : body.nodes()) {
    if (node.op == OpKind::kInput) continue;
    if (node.op == OpKind::kConstant && IsScalarConstant(node)) continue;
    std::string why = node.op == OpKind::kConstant ? "a region holds a constant tensor"
                                                   : WhyNotEmitted(body, node);
    if (!why.empty()) return why;
  }
  return "";
}

// The operands that are read from memory; scalar constants become immediates.
struct Operands {
  std::vector<LoopOperand> loads;
  std::vector<int> load_of;  // per operand: position in loads, or -1
};

Operands Collect(ProgramBuilder& out, const Node& node, const std::vector<int64_t>& dims) {
  Operands operands;
  for (rlx::Value v : node.operands) {
    const bool immediate = IsScalarConstant(out.graph().node(v.node));
    operands.load_of.push_back(immediate ? -1 : static_cast<int>(operands.loads.size()));
    if (!immediate) operands.loads.push_back(AsLoopOperand(out.In(v), dims));
  }
  return operands;
}

}  // namespace

std::string WhyNotTypes(const Graph& graph, const Node& node) {
  for (rlx::Value v : node.operands) {
    if (!kernel::FromDType(graph.type(v).dtype)) {
      return Cat(Name(node.op), " of ", Name(graph.type(v).dtype));
    }
  }
  for (const TensorType& type : node.results) {
    if (!kernel::FromDType(type.dtype)) return Cat(Name(node.op), " to ", Name(type.dtype));
  }
  return "";
}

std::string WhyNotElementwise(const Graph& graph, const Node& node) {
  if (node.op != OpKind::kElementwiseRegion) return WhyNotEmitted(graph, node);
  for (const TensorType& type : node.results) {
    if (type.shape != node.results[0].shape) return "the region's results differ in shape";
  }
  const std::string types = WhyNotTypes(graph, node);
  return types.empty() ? WhyNotBody(*node.subgraphs[0]) : types;
}

absl::Status GenerateElementwise(ProgramBuilder& out, NodeId id, const Schedule& schedule) {
  const Node& node = out.graph().node(id);
  const std::vector<int64_t> dims = node.results[0].StaticDims();
  const Operands operands = Collect(out, node, dims);
  std::vector<LoopOperand> stores;
  std::vector<size_t> stored;
  for (int32_t r = 0; r < static_cast<int32_t>(node.results.size()); ++r) {
    const ProgramBuilder::Operand result = out.Out({id, r});
    if (result.buffer < 0) continue;
    stores.push_back(AsLoopOperand(result, dims));
    stored.push_back(static_cast<size_t>(r));
  }
  const auto body = [&](kernel::Builder& b, std::span<const kernel::Value> loads) {
    std::vector<kernel::Value> values;
    for (size_t k = 0; k < node.operands.size(); ++k) {
      const int load = operands.load_of[k];
      values.push_back(
          load >= 0 ? loads[static_cast<size_t>(load)]
                    : EmitImmediate(b, out.graph().node(node.operands[k].node).Tensor("value")));
    }
    if (node.op != OpKind::kElementwiseRegion) {
      return std::vector<kernel::Value>{EmitOp(b, node, values)};
    }
    const Graph& region = *node.subgraphs[0];
    ValueMap inputs;
    const std::vector<NodeId> ids = region.inputs();
    for (size_t k = 0; k < ids.size(); ++k) inputs[{ids[k], 0}] = values[k];
    const std::vector<kernel::Value> all = EmitBody(b, region, std::move(inputs));
    std::vector<kernel::Value> results;
    for (size_t r : stored) results.push_back(all[r]);
    return results;
  };
  return EmitLoopNest(out, schedule, dims, operands.loads, stores, body,
                      Cat(Name(node.op), " %", id));
}

}  // namespace rlx::device
