// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/generate/loop_nest.h"

#include <algorithm>

#include "runtime/base/status.h"
#include "runtime/device/generate/emit_op.h"

namespace rlx::device {
namespace {

// What a kernel loads and stores. No kernel computes with c64, but any may move it.
kernel::Type StoredType(DType dtype) {
  return kernel::FromDType(dtype).value_or(kernel::Type::kI64);
}

using kernel::Builder;
using kernel::Type;
using kernel::Value;

// Elements that one group handles when a stretch is long: enough to hide the group's own
// arithmetic, little enough to spread over threads.
constexpr int64_t kStretch = 1024;

struct Nest {
  const Sizes sizes;
  std::vector<int64_t> dims;
  std::vector<LoopOperand> inputs;
  std::vector<LoopOperand> outputs;
  const LoopBody& body;
  Builder b;
  // What an operand's offset and strides are in the kernel.
  struct Walk {
    Value offset;
    std::vector<Value> strides;
  };
  std::vector<Value> in_buffers = {}, out_buffers = {};
  std::vector<Value> extents = {};
  std::vector<Walk> in_walks = {}, out_walks = {};
  std::vector<int64_t> scalars = {};  // of the launch

  int64_t inner() const { return dims.back(); }

  void Collapse() {
    std::vector<std::vector<int64_t>*> strides;
    for (LoopOperand& operand : inputs) strides.push_back(&operand.strides);
    for (LoopOperand& operand : outputs) strides.push_back(&operand.strides);
    CollapseDims(dims, strides);
  }

  void Declare() {
    for (const LoopOperand& operand : inputs) {
      in_buffers.push_back(b.Input(StoredType(operand.dtype)));
    }
    for (const LoopOperand& operand : outputs) {
      out_buffers.push_back(b.Output(StoredType(operand.dtype)));
    }
    for (int64_t extent : dims) extents.push_back(Size(extent));
    for (const LoopOperand& operand : inputs) in_walks.push_back(WalkOf(operand));
    for (const LoopOperand& operand : outputs) out_walks.push_back(WalkOf(operand));
  }

  // A number of the nest. Zeros and ones always stand in the code: they decide what it looks like.
  Value Size(int64_t v) {
    if (sizes == Sizes::kInCode || v == 0 || v == 1) return b.I64(v);
    scalars.push_back(v);
    return b.Scalar(Type::kI64);
  }

  Walk WalkOf(const LoopOperand& operand) {
    Walk walk{Size(operand.offset), {}};
    for (int64_t stride : operand.strides) walk.strides.push_back(Size(stride));
    return walk;
  }

  // Offset of an operand from loop coordinates: Σ coordinate · stride.
  Value Offset(const LoopOperand& operand, const Walk& walk,
               const std::vector<Value>& coordinates) {
    Value sum = walk.offset;
    for (size_t d = 0; d < coordinates.size(); ++d) {
      if (operand.strides[d] == 0 || dims[d] == 1) continue;
      sum = b.Add(sum, b.Mul(coordinates[d], walk.strides[d]));
    }
    return sum;
  }

  // Coordinates of `index` in the first `count` dims.
  std::vector<Value> Coordinates(Value index, size_t count) {
    std::vector<Value> out(count);
    for (size_t d = count; d-- > 0;) {
      out[d] = d == 0 ? index : b.Rem(index, extents[d]);
      if (d > 0) index = b.Div(index, extents[d]);
    }
    return out;
  }

  // A group takes a stretch of one innermost row: lanes are neighbours.
  int64_t Rows() {
    const int64_t segments = (inner() + kStretch - 1) / kStretch;
    int64_t rows = 1;
    for (size_t d = 0; d + 1 < dims.size(); ++d) rows *= dims[d];
    const Value group = b.GroupId(Type::kI64);
    const Value segment_count = Size(segments);
    const Value row = b.Div(group, segment_count);
    const Value start =
        segments == 1 ? b.I64(0) : b.Mul(b.Rem(group, segment_count), b.I64(kStretch));
    const std::vector<Value> coordinates = Coordinates(row, dims.size() - 1);
    std::vector<Value> bases, hoisted(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      bases.push_back(Offset(inputs[i], in_walks[i], coordinates));
      if (inputs[i].strides.back() == 0) hoisted[i] = b.LoadWide(in_buffers[i], bases[i]);
    }
    std::vector<Value> out_bases;
    for (size_t k = 0; k < outputs.size(); ++k) {
      out_bases.push_back(Offset(outputs[k], out_walks[k], coordinates));
    }
    const Value extent = segments == 1 ? extents.back()
                         : inner() % kStretch == 0
                             ? b.I64(kStretch)
                             : b.Min(b.I64(kStretch), b.Sub(extents.back(), start));
    b.ForLanes(extent, [&](Value i) {
      const Value at = b.Add(start, i);
      const auto index = [&](const Walk& walk, Value base) {
        return b.Add(base, b.Mul(at, walk.strides.back()));
      };
      std::vector<Value> values;
      for (size_t k = 0; k < inputs.size(); ++k) {
        values.push_back(hoisted[k].valid()
                             ? hoisted[k]
                             : b.LoadWide(in_buffers[k], index(in_walks[k], bases[k])));
      }
      const std::vector<Value> results = body(b, values);
      for (size_t k = 0; k < outputs.size(); ++k) {
        b.StoreCast(out_buffers[k], index(out_walks[k], out_bases[k]), results[k]);
      }
    });
    return rows * segments;
  }

  // Rows shorter than a vector: lanes walk the whole space, each finding its own coordinates.
  int64_t Scattered() {
    int64_t total = 1;
    for (int64_t d : dims) total *= d;
    const int64_t per_group = int64_t{8} * b.local();
    const Value start = b.Mul(b.GroupId(Type::kI64), b.I64(per_group));
    const Value extent = total % per_group == 0
                             ? b.I64(per_group)
                             : b.Min(b.I64(per_group), b.Sub(Size(total), start));
    b.ForLanes(extent, [&](Value i) {
      const std::vector<Value> coordinates = Coordinates(b.Add(start, i), dims.size());
      std::vector<Value> values;
      for (size_t k = 0; k < inputs.size(); ++k) {
        values.push_back(b.LoadWide(in_buffers[k], Offset(inputs[k], in_walks[k], coordinates)));
      }
      const std::vector<Value> results = body(b, values);
      for (size_t k = 0; k < outputs.size(); ++k) {
        b.StoreCast(out_buffers[k], Offset(outputs[k], out_walks[k], coordinates), results[k]);
      }
    });
    return (total + per_group - 1) / per_group;
  }
};

}  // namespace

LoopOperand AsLoopOperand(const ProgramBuilder::Operand& operand,
                          const std::vector<int64_t>& loop_dims) {
  LoopOperand out{operand.buffer, operand.type.dtype, std::vector<int64_t>(loop_dims.size(), 0), 0};
  const size_t lead = loop_dims.size() - operand.dims.size();
  for (size_t d = 0; d < operand.dims.size(); ++d) {
    if (operand.dims[d] != 1) out.strides[lead + d] = operand.strides[d];
  }
  return out;
}

void CollapseDims(std::vector<int64_t>& dims, std::span<std::vector<int64_t>*> strides) {
  std::vector<int64_t> merged;
  std::vector<std::vector<int64_t>> kept(strides.size());
  for (size_t d = 0; d < dims.size(); ++d) {
    if (dims[d] == 1) continue;
    const bool joins = !merged.empty() && [&] {
      for (size_t k = 0; k < strides.size(); ++k) {
        if (kept[k].back() != (*strides[k])[d] * dims[d]) return false;
      }
      return true;
    }();
    if (joins) {
      merged.back() *= dims[d];
      for (size_t k = 0; k < strides.size(); ++k) kept[k].back() = (*strides[k])[d];
    } else {
      merged.push_back(dims[d]);
      for (size_t k = 0; k < strides.size(); ++k) kept[k].push_back((*strides[k])[d]);
    }
  }
  if (merged.empty()) {
    merged.push_back(1);
    for (auto& list : kept) list.push_back(0);
  }
  dims = std::move(merged);
  for (size_t k = 0; k < strides.size(); ++k) *strides[k] = std::move(kept[k]);
}

absl::Status EmitLoopNest(ProgramBuilder& out, const Schedule& schedule, std::vector<int64_t> dims,
                          std::vector<LoopOperand> inputs, std::vector<LoopOperand> outputs,
                          const LoopBody& body, const std::string& label, Sizes sizes) {
  Nest nest{sizes,
            std::move(dims),
            std::move(inputs),
            std::move(outputs),
            body,
            Builder("loop", schedule.lanes)};
  nest.Collapse();
  nest.Declare();
  const int64_t groups =
      nest.inner() >= schedule.lanes || nest.dims.size() == 1 ? nest.Rows() : nest.Scattered();
  RLX_ASSIGN(const kernel::Kernel kernel, std::move(nest.b).Finish());
  std::vector<int32_t> buffers;
  for (const LoopOperand& operand : nest.inputs) buffers.push_back(operand.buffer);
  for (const LoopOperand& operand : nest.outputs) buffers.push_back(operand.buffer);
  out.Launch(kernel, std::move(buffers), std::move(nest.scalars), groups, label);
  return absl::OkStatus();
}

absl::Status EmitCopyInto(ProgramBuilder& out, const Schedule& schedule,
                          const ProgramBuilder::Operand& from, const LoopOperand& to,
                          const std::string& label, Sizes sizes) {
  return EmitLoopNest(
      out, schedule, from.dims, {AsLoopOperand(from, from.dims)}, {to},
      [](Builder&, std::span<const Value> v) { return std::vector<Value>{v[0]}; }, label, sizes);
}

absl::Status EmitStridedCopy(ProgramBuilder& out, const Schedule& schedule,
                             const ProgramBuilder::Operand& from, int32_t to,
                             const std::string& label) {
  const LoopOperand target{to, from.type.dtype, RowMajorStrides(from.dims)};
  return EmitCopyInto(out, schedule, from, target, label);
}

absl::StatusOr<ProgramBuilder::Operand> Densify(ProgramBuilder& out, const Schedule& schedule,
                                                const ProgramBuilder::Operand& operand) {
  if (operand.dense) return operand;
  ProgramBuilder::Operand dense = operand;
  dense.buffer = out.Scratch(*operand.type.ByteSize());
  dense.strides = RowMajorStrides(operand.dims);
  dense.dense = true;
  dense.is_weight = false;
  RLX_TRY(EmitStridedCopy(out, schedule, operand, dense.buffer, "densify"));
  return dense;
}

}  // namespace rlx::device
