// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/device/generate/emit_op.h"
#include "runtime/device/generate/generate.h"
#include "runtime/ir/op_info.h"

namespace rlx::device {
namespace {

// From so many operands on, a concatenation does not pay for a kernel of its own for each.
constexpr size_t kManyOperands = 16;

// The operand seen with the result's extents: what to read, where.
ProgramBuilder::Operand Seen(const Node& node, ProgramBuilder::Operand from) {
  const std::vector<int64_t> dims = node.results[0].StaticDims();
  std::vector<int64_t> strides(dims.size());
  if (node.op == OpKind::kTranspose) {
    const std::vector<int64_t>& perm = node.Ints("perm");
    for (size_t d = 0; d < perm.size(); ++d) strides[d] = from.strides[perm[d]];
  } else if (node.op == OpKind::kExpand) {
    strides = AsLoopOperand(from, dims).strides;
  } else {
    strides = from.strides;  // narrow, reshape of a dense operand
  }
  from.dims = dims;
  from.strides = std::move(strides);
  return from;
}

}  // namespace

std::string WhyNotMovement(const Graph& graph, const Node& node) {
  const bool complex = node.results[0].dtype == DType::kC64;  // moved as eight bytes
  return complex ? "" : WhyNotTypes(graph, node);
}

absl::Status GenerateConcat(ProgramBuilder& out, NodeId id, const Schedule& schedule,
                            const TakeCopy& take) {
  const Node& node = out.graph().node(id);
  const ProgramBuilder::Operand to = out.Out({id, 0});
  const int64_t axis = node.Int("axis");
  const Sizes sizes = node.operands.size() < kManyOperands ? Sizes::kInCode : Sizes::kInLaunch;
  const std::string label = Cat("concat %", id);
  int64_t start = 0;
  for (rlx::Value v : node.operands) {
    const ProgramBuilder::Operand from = out.In(v);
    const LoopOperand part{to.buffer, to.type.dtype, to.strides, start * to.strides[axis]};
    start += from.dims[axis];
    if (take && take(out, from, part, label)) continue;
    RLX_TRY(EmitCopyInto(out, schedule, from, part, label, sizes));
  }
  return absl::OkStatus();
}

absl::Status GenerateMovement(ProgramBuilder& out, NodeId id, const Schedule& schedule) {
  const Node& node = out.graph().node(id);
  if (node.op == OpKind::kConcat) return GenerateConcat(out, id, schedule);
  const ProgramBuilder::Operand from = out.In(node.operands[0]);
  const ProgramBuilder::Operand to = out.Out({id, 0});
  const std::string label = Cat(Name(node.op), " %", id);
  if (node.op == OpKind::kReshape) {
    if (!from.dense) return EmitStridedCopy(out, schedule, from, to.buffer, label);
    out.Copy(from.buffer, to.buffer);
    return absl::OkStatus();
  }
  const ProgramBuilder::Operand seen = Seen(node, from);
  LoopOperand source{seen.buffer, seen.type.dtype, seen.strides, 0};
  if (node.op == OpKind::kNarrow) {
    const int64_t axis = node.Int("axis");
    source.offset = node.Int("start") * seen.strides[axis];
  }
  return EmitLoopNest(
      out, schedule, seen.dims, {source}, {{to.buffer, to.type.dtype, to.strides, 0}},
      [](kernel::Builder&, std::span<const kernel::Value> values) {
        return std::vector<kernel::Value>{values[0]};
      },
      label);
}

}  // namespace rlx::device
