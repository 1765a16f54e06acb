// SPDX-License-Identifier: Apache-2.0
// What moves elements, and elementwise ops: places stay true or padding one by one.
#include <numeric>

#include "runtime/base/status.h"
#include "runtime/passes/padding_rules.h"

namespace rlx::passes {
namespace {

constexpr int64_t kOperand0 = 0;

// The places of a concatenation in which its parts are true, gathered to the front.
//
//   [a a . . | b b b .]  →  [a a b b b b b b]      (the tail is of no consequence)
//
// Place p of the result reads p plus what is padding in the parts that end at or before p.
Value CloseGaps(Padder& p, Value whole, int64_t axis, const std::vector<PaddedAxis>& parts) {
  GraphBuilder& b = p.build();
  const int64_t capacity = b.type(whole).shape[axis].value();
  const Value place = p.Places(capacity);
  Value source = place;
  Dim end = 0;
  for (const PaddedAxis& part : std::span(parts).first(parts.size() - 1)) {
    end = end + part.extent();
    if (!part.padded()) continue;
    const Value past = b.Cast(b.Emit(OpKind::kGe, {place, p.Extent(end)}), DType::kI64);
    const Value room = b.Scalar(DType::kI64, static_cast<double>(part.capacity()));
    source = b.Add(source, b.Mul(past, b.Sub(room, p.Extent(part.extent()))));
  }
  const Value last = b.Scalar(DType::kI64, static_cast<double>(capacity - 1));
  return b.Gather(whole, b.Emit(OpKind::kMin, {source, last}), axis);
}

}  // namespace

absl::StatusOr<PaddedAxes> BroadcastAxes(const std::vector<PaddedAxes>& operands) {
  size_t rank = 0;
  for (const PaddedAxes& axes : operands) rank = std::max(rank, axes.size());
  PaddedAxes out(rank);
  for (const PaddedAxes& axes : operands) {
    for (size_t i = 0; i < axes.size(); ++i) {
      PaddedAxis& into = out[rank - axes.size() + i];
      if (axes[i].capacity() == 1 || axes[i] == into) continue;
      if (into.capacity() == 1) {
        into = axes[i];
      } else {
        return FailedPrecondition("operands are true in different places, ", ToString(into),
                                  " and ", ToString(axes[i]));
      }
    }
  }
  return out;
}

absl::Status PadElementwise(Padder& p) {
  std::vector<PaddedAxes> operands;
  std::vector<Value> values;
  for (size_t i = 0; i < p.operands(); ++i) {
    operands.push_back(p.Operand(i).axes);
    values.push_back(p.Operand(i).value);
  }
  RLX_ASSIGN(const PaddedAxes axes, BroadcastAxes(operands));
  const std::vector<Value> results = p.Emit(std::move(values));
  RLX_TRY(p.build().status());
  for (size_t r = 0; r < results.size(); ++r) {
    const std::vector<int64_t> dims = p.capacities(r);
    PaddedAxes own(dims.size());
    for (size_t d = 0; d < dims.size(); ++d) {
      if (dims[d] > 1) own[d] = axes[axes.size() - dims.size() + d];
    }
    p.SetResult(r, results[r], std::move(own));
  }
  return absl::OkStatus();
}

absl::Status PadReshape(Padder& p) {
  const PaddedValue x = p.Operand(kOperand0);
  std::optional<PaddedAxes> axes = Regroup(x.axes, p.extents(), p.capacities());
  if (!axes) return FailedPrecondition("it tears a padded axis apart");
  p.SetResult(0, p.Emit({x.value})[0], *std::move(axes));
  return absl::OkStatus();
}

absl::Status PadTranspose(Padder& p) {
  const PaddedValue x = p.Operand(kOperand0);
  PaddedAxes axes;
  for (int64_t axis : p.bound().Ints("perm")) axes.push_back(x.axes[axis]);
  p.SetResult(0, p.Emit({x.value})[0], std::move(axes));
  return absl::OkStatus();
}

// What is narrowed lies within the true extent: inference made that a constraint.
absl::Status PadNarrow(Padder& p) {
  const PaddedValue x = p.Operand(kOperand0);
  const int64_t axis = p.bound().Int("axis"), length = p.bound().Int("length");
  if (!x.axes[axis].prefix())
    return FailedPrecondition("its axis is true in ", ToString(x.axes[axis]));
  PaddedAxes axes = x.axes;
  axes[axis] = PaddedAxis(length, length);
  p.SetResult(0, p.Emit({x.value})[0], std::move(axes));
  return absl::OkStatus();
}

absl::Status PadConcat(Padder& p) {
  const int64_t axis = p.bound().Int("axis");
  std::vector<PaddedAxes> beside;
  std::vector<PaddedAxis> along;
  std::vector<Value> values;
  bool gaps = false;
  for (size_t i = 0; i < p.operands(); ++i) {
    PaddedValue x = p.Operand(i);
    if (!x.axes[axis].prefix()) {
      return FailedPrecondition("operand ", i, " is true in ", ToString(x.axes[axis]));
    }
    gaps |= x.axes[axis].padded() && i + 1 < p.operands();
    along.push_back(x.axes[axis]);
    values.push_back(x.value);
    x.axes[axis] = {};
    beside.push_back(std::move(x.axes));
  }
  RLX_ASSIGN(PaddedAxes axes, BroadcastAxes(beside));
  Value whole = p.Emit(std::move(values))[0];
  RLX_TRY(p.build().status());
  if (gaps) whole = CloseGaps(p, whole, axis, along);
  axes[axis] = PaddedAxis(p.extents()[axis], p.capacities()[axis]);
  p.SetResult(0, whole, std::move(axes));
  return absl::OkStatus();
}

absl::Status PadExpand(Padder& p) {
  const PaddedValue x = p.Operand(kOperand0);
  const std::vector<int64_t> dims = p.capacities();
  const size_t added = dims.size() - x.axes.size();
  PaddedAxes axes;
  for (size_t d = 0; d < dims.size(); ++d) {
    const bool kept = d >= added && x.axes[d - added].capacity() > 1;
    axes.push_back(kept ? x.axes[d - added] : PaddedAxis(p.extents()[d], dims[d]));
  }
  p.SetResult(0, p.Emit({x.value})[0], std::move(axes));
  return absl::OkStatus();
}

// True indices point at true places, or the run fails as it does at its own size: the gather is
// told how many there are. The other indices may point anywhere, and point at 0.
absl::Status PadGather(Padder& p) {
  const PaddedValue table = p.Operand(0), indices = p.Operand(1);
  const auto axis = static_cast<size_t>(p.bound().Int("axis"));
  if (!table.axes[axis].prefix()) {
    return FailedPrecondition("the table is true in ", ToString(table.axes[axis]));
  }
  PaddedAxes axes(table.axes.begin(), table.axes.begin() + axis);
  axes.insert(axes.end(), indices.axes.begin(), indices.axes.end());
  axes.insert(axes.end(), table.axes.begin() + axis + 1, table.axes.end());
  std::vector<int64_t> all(indices.axes.size());
  std::iota(all.begin(), all.end(), 0);
  std::vector<Value> operands = {table.value, p.Fill(indices, all, 0)};
  if (p.operands() > 2) operands.push_back(p.Operand(2).value);
  if (table.axes[axis].padded()) {
    const Value extent = p.Extent(table.axes[axis].extent());
    if (operands.size() > 2) {
      operands[2] = p.build().Emit(OpKind::kMin, {operands[2], extent});
    } else {
      operands.push_back(extent);
    }
  }
  p.SetResult(0, p.Emit(std::move(operands))[0], std::move(axes));
  return absl::OkStatus();
}

}  // namespace rlx::passes
