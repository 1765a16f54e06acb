// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "backends/cuda/lowering/rows_source.h"
#include "backends/cuda/rule.h"
#include "runtime/base/status.h"
#include "runtime/device/generate/loop_nest.h"
#include "runtime/ir/op_info.h"
#include "runtime/kernel/kernel.h"

// Norms over the last axis in f16 and bf16, with and without a residual, eight elements at a time.
// What they refuse is left to the generated kernels.
namespace rlx::cuda {
namespace {

using device::ProgramBuilder;

std::string Refuse(const Graph& graph, const Node& node) {
  const TensorType& x = graph.type(node.operands[0]);
  if (x.dtype != DType::kF16 && x.dtype != DType::kBF16) return Cat("norm of ", Name(x.dtype));
  for (Value v : node.operands) {
    if (graph.type(v).dtype != x.dtype) return "norm of mixed types";
  }
  const AttrValue* axis = node.Find("axis");
  if (axis != nullptr && std::get<int64_t>(*axis) != x.rank() - 1) return "norm of inner axes";
  if (!x.NumElements()) return "norm of rows of unknown size";
  const int64_t width = x.StaticDims().back();
  if (width < 1 || width % kStep != 0 || width > NormShape::kMostWidth) {
    return Cat("norm of rows of ", width);
  }
  return "";
}

class Lowering {
 public:
  Lowering(ProgramBuilder& out, NodeId id) : out_(out), node_(out.graph().node(id)), id_(id) {}

  absl::Status Run() {
    ReadShape();
    const int count = static_cast<int>(node_.operands.size());
    int next = 1;
    RLX_TRY(Read(0));
    if (shape_.residual) RLX_TRY(Read(next++));
    shape_.fixed = true;
    for (int i = next; i < count; ++i) shape_.fixed &= out_.In(node_.operands[i]).is_weight;
    if (shape_.bias) RLX_TRY(Read(next++));
    shape_.gamma = next < count;
    if (shape_.gamma) RLX_TRY(Read(next++));
    shape_.beta = next < count;
    if (shape_.beta) RLX_TRY(Read(next++));
    shape_.norm = Write(0);
    shape_.sum = Write(1);
    made_.local = kernel::kSubgroup * shape_.Warps();
    made_.source = NormSource(shape_);
    out_.Launch(made_, std::move(buffers_), {}, shape_.Groups(), Cat(Name(node_.op), " %", id_));
    return absl::OkStatus();
  }

 private:
  void ReadShape() {
    const TensorType& x = out_.graph().type(node_.operands[0]);
    shape_.dtype = x.dtype;
    shape_.width = x.StaticDims().back();
    shape_.rows = *x.NumElements() / shape_.width;
    shape_.centered = node_.op == OpKind::kLayerNorm || node_.op == OpKind::kFusedResidualLayerNorm;
    shape_.residual =
        node_.op == OpKind::kFusedResidualLayerNorm || node_.op == OpKind::kFusedResidualRmsNorm;
    shape_.bias = shape_.residual && node_.Bool("has_bias");
    shape_.eps = node_.Float("eps");
  }

  absl::Status Read(int operand) {
    RLX_ASSIGN(const ProgramBuilder::Operand dense,
               device::Densify(out_, kSchedule, out_.In(node_.operands[operand])));
    buffers_.push_back(dense.buffer);
    made_.buffers.push_back({*kernel::FromDType(dense.type.dtype), false});
    return absl::OkStatus();
  }

  // Whether anything reads the result.
  bool Write(int32_t result) {
    if (result >= static_cast<int32_t>(node_.results.size())) return false;
    const ProgramBuilder::Operand to = out_.Out({id_, result});
    if (to.buffer < 0) return false;
    buffers_.push_back(to.buffer);
    made_.buffers.push_back({*kernel::FromDType(to.type.dtype), true});
    return true;
  }

  ProgramBuilder& out_;
  const Node& node_;
  NodeId id_;
  NormShape shape_;
  kernel::Kernel made_{.name = "norm"};
  std::vector<int32_t> buffers_;
};

absl::Status Lower(ProgramBuilder& out, NodeId id) { return Lowering(out, id).Run(); }

constexpr Rule kRules[] = {
    {OpKind::kLayerNorm, "own kernel", Refuse, Lower},
    {OpKind::kRmsNorm, "own kernel", Refuse, Lower},
    {OpKind::kFusedResidualLayerNorm, "own kernel", Refuse, Lower},
    {OpKind::kFusedResidualRmsNorm, "own kernel", Refuse, Lower},
};

}  // namespace

std::span<const Rule> NormRules() { return kRules; }

}  // namespace rlx::cuda
