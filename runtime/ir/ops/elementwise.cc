// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/ops/elementwise.h"

#include <algorithm>

#include "runtime/base/status.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {

absl::Status RequireSameDType(const InferContext& ctx, int a, int b) {
  const DType left = ctx.operands[a].dtype, right = ctx.operands[b].dtype;
  if (left == right) return absl::OkStatus();
  return InvalidArgument("dtypes of operands ", a, " and ", b, " differ (", left, " vs ", right,
                         "); nothing is converted implicitly");
}

absl::Status RequireReal(const InferContext& ctx, int i) {
  const DType dtype = ctx.operands[i].dtype;
  if (IsFloat(dtype) || IsInteger(dtype)) return absl::OkStatus();
  return InvalidArgument("operand ", i, " is ", dtype, " where a float or an integer is needed");
}

absl::Status RequireBool(const InferContext& ctx, int i) {
  const DType dtype = ctx.operands[i].dtype;
  if (dtype == DType::kBool) return absl::OkStatus();
  return InvalidArgument("operand ", i, " is ", dtype, " where bool is needed");
}

absl::Status RequireIndices(const InferContext& ctx, int i) {
  const DType dtype = ctx.operands[i].dtype;
  if (IsInteger(dtype)) return absl::OkStatus();
  return InvalidArgument("operand ", i, " is ", dtype, " where an integer is needed");
}

absl::Status RequireInputs(const Graph& graph, const std::vector<TensorType>& operands, int first) {
  const std::vector<NodeId> inputs = graph.inputs();
  const size_t given = operands.size() - first;
  if (inputs.size() != given)
    return InvalidArgument("the graph has ", inputs.size(), " inputs for ", given, " operands");
  for (size_t i = 0; i < given; ++i) {
    const TensorType &wanted = graph.node(inputs[i]).results[0], &type = operands[first + i];
    if (wanted != type)
      return InvalidArgument("operand ", first + i, " is ", type, ", the graph's input is ",
                             wanted);
  }
  return absl::OkStatus();
}

absl::Status InferBroadcast(InferContext& ctx, DType dtype) {
  Shape shape = ctx.operands[0].shape;
  for (size_t i = 1; i < ctx.operands.size(); ++i) {
    RLX_ASSIGN(shape, Broadcast(shape, ctx.operands[i].shape, ctx.constraints));
  }
  ctx.results = {{dtype, std::move(shape)}};
  return absl::OkStatus();
}

void CopyElement(const EvalTensor& from, int64_t at, EvalTensor& out, int64_t k) {
  if (IsExact(from.dtype)) {
    out.i[k] = from.i[at];
  } else if (from.dtype == DType::kC64) {
    out.f[2 * k] = from.f[2 * at];
    out.f[2 * k + 1] = from.f[2 * at + 1];
  } else {
    out.f[k] = from.f[at];
  }
}

DType DrawReal(Rng& rng) {
  if (Flip(rng)) return DType::kF32;
  return Pick(rng, {DType::kI8, DType::kU8, DType::kI16, DType::kI32, DType::kU32, DType::kI64});
}

DType DrawNumber(Rng& rng) { return Draw(rng, 0, 5) == 0 ? DType::kC64 : DrawReal(rng); }

OpSample::Operand RealOperand(DType dtype, Shape shape, double low, double high) {
  const bool is_signed = !IsExact(dtype) || Info(dtype).is_signed;
  return {
      .type = {dtype, std::move(shape)}, .low = is_signed ? low : std::max(low, 0.0), .high = high};
}

DType DrawAny(Rng& rng) {
  return Flip(rng) ? DType::kF32 : static_cast<DType>(Draw(rng, 0, kDTypeCount - 1));
}

OpSample::Operand AnyOperand(DType dtype, Shape shape) {
  const double most = dtype == DType::kBool ? 1 : IsExact(dtype) ? 100 : 2;
  return RealOperand(dtype, std::move(shape), -most, most);
}

Shape DrawShape(Rng& rng, int min_rank, int max_rank) {
  Shape shape(static_cast<size_t>(Draw(rng, min_rank, max_rank)));
  for (Dim& dim : shape) dim = Flip(rng) ? Draw(rng, 1, 4) : Draw(rng, 1, 17);
  return shape;
}

Shape DrawBroadcastable(Rng& rng, const Shape& shape) {
  const auto drop = Draw(rng, 0, static_cast<int64_t>(shape.size()));
  Shape part(shape.begin() + drop, shape.end());
  for (Dim& dim : part)
    if (Draw(rng, 0, 3) == 0) dim = 1;
  return part;
}

BroadcastWalk::BroadcastWalk(const std::vector<int64_t>& dims,
                             std::span<const EvalTensor* const> operands)
    : dims_(dims), index_(dims.size()), offsets_(operands.size()) {
  for (const EvalTensor* operand : operands) {
    std::vector<int64_t> own = RowMajorStrides(operand->dims);
    for (size_t axis = 0; axis < own.size(); ++axis)
      if (operand->dims[axis] == 1) own[axis] = 0;
    own.insert(own.begin(), dims.size() - own.size(), 0);
    strides_.push_back(std::move(own));
  }
}

void BroadcastWalk::Next() {
  for (size_t axis = dims_.size(); axis-- > 0;) {
    const bool carry = ++index_[axis] == dims_[axis];
    const int64_t steps = carry ? 1 - dims_[axis] : 1;
    for (size_t i = 0; i < offsets_.size(); ++i) offsets_[i] += steps * strides_[i][axis];
    if (!carry) return;
    index_[axis] = 0;
  }
}

}  // namespace rlx
