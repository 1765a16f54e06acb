// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/device/generate/emit_op.h"
#include "runtime/device/generate/generate.h"
#include "runtime/ir/op_info.h"

namespace rlx::device {

std::string WhyNotSwiglu(const Graph& graph, const Node& node) {
  if (!IsFloat(node.results[0].dtype)) return Cat("fused_swiglu of ", Name(node.results[0].dtype));
  return WhyNotTypes(graph, node);
}

// The two halves of the last axis are two operands of one loop nest.
absl::Status GenerateSwiglu(ProgramBuilder& out, NodeId id, const Schedule& schedule) {
  const Node& node = out.graph().node(id);
  const ProgramBuilder::Operand x = out.In(node.operands[0]);
  const ProgramBuilder::Operand y = out.Out({id, 0});
  const bool gate_first = node.Bool("gate_first");
  LoopOperand low{x.buffer, x.type.dtype, x.strides, 0};
  LoopOperand high = low;
  high.offset = y.dims.back() * x.strides.back();
  return EmitLoopNest(
      out, schedule, y.dims, {gate_first ? high : low, gate_first ? low : high},
      {AsLoopOperand(y, y.dims)},
      [](kernel::Builder& b, std::span<const kernel::Value> v) {
        return std::vector<kernel::Value>{b.Mul(v[0], EmitActivation(b, "silu", v[1]))};
      },
      Cat("fused_swiglu %", id));
}

}  // namespace rlx::device
