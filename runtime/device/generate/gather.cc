// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/device/generate/generate.h"
#include "runtime/ir/op_info.h"

namespace rlx::device {
namespace {

using kernel::Builder;
using kernel::Type;
using kernel::Value;

constexpr int64_t kSteps = 4;  // elements a lane

// The table as [outer, places, inner].
struct Slices {
  int64_t outer = 1, places = 1, inner = 1, count = 1;
};

// An element of the result a lane and step: neighbours read neighbours of a slice.
void Body(Builder& b, const Slices& s, Value table, Value indices, Value extent, Value to,
          Value fault) {
  const int64_t total = s.outer * s.count * s.inner, per_group = kSteps * b.local();
  const Value start = b.Mul(b.GroupId(Type::kI64), b.I64(per_group));
  const Value left = b.Min(b.I64(per_group), b.Sub(b.I64(total), start));
  Value places = b.I64(s.places);
  if (extent.valid()) places = b.Min(places, b.Load(extent, b.I64(0)));
  b.ForLanes(left, [&](Value i) {
    const Value at = b.Add(start, i);
    const Value row = b.Div(at, b.I64(s.inner));
    const Value outer = b.Div(row, b.I64(s.count));
    const Value index = b.Cast(Type::kI64, b.Load(indices, b.Rem(row, b.I64(s.count))));
    const Value inside = b.And(b.Le(b.I64(0), index), b.Lt(index, places));
    b.If(inside, [&] {
      const Value slice = b.Add(b.Mul(outer, b.I64(s.places)), index);
      const Value from = b.Add(b.Mul(slice, b.I64(s.inner)), b.Rem(at, b.I64(s.inner)));
      b.Store(to, at, b.Load(table, from));
    });
    b.If(b.Not(inside), [&] { b.Store(fault, b.I64(0), b.I32(1)); });
  });
}

}  // namespace

std::string WhyNotGather(const Graph& graph, const Node& node) { return WhyNotTypes(graph, node); }

absl::Status GenerateGather(ProgramBuilder& out, NodeId id, const Schedule& schedule,
                            int32_t fault) {
  const Node& node = out.graph().node(id);
  RLX_ASSIGN(const auto table, Densify(out, schedule, out.In(node.operands[0])));
  RLX_ASSIGN(const auto indices, Densify(out, schedule, out.In(node.operands[1])));
  const ProgramBuilder::Operand y = out.Out({id, 0});
  const int64_t axis = node.Int("axis");
  Slices slices{.places = table.dims[axis], .inner = table.strides[axis]};
  for (int64_t d = 0; d < axis; ++d) slices.outer *= table.dims[d];
  slices.count = *indices.type.NumElements();

  Builder b("gather", schedule.lanes);
  std::vector<int32_t> buffers = {table.buffer, indices.buffer};
  const Value from = b.Input(*kernel::FromDType(table.type.dtype));
  const Value at = b.Input(*kernel::FromDType(indices.type.dtype));
  Value extent{};
  if (node.operands.size() > 2) {
    RLX_ASSIGN(const auto given, Densify(out, schedule, out.In(node.operands[2])));
    buffers.push_back(given.buffer);
    extent = b.Input(Type::kI64);
  }
  const Value to = b.Output(*kernel::FromDType(y.type.dtype));
  const Value word = b.Output(Type::kI32);
  buffers.insert(buffers.end(), {y.buffer, fault});
  Body(b, slices, from, at, extent, to, word);
  RLX_ASSIGN(const kernel::Kernel kernel, std::move(b).Finish());
  const int64_t per_group = kSteps * schedule.lanes;
  const int64_t groups = (*y.type.NumElements() + per_group - 1) / per_group;
  out.Launch(kernel, std::move(buffers), {}, groups, Cat("gather %", id));
  return absl::OkStatus();
}

}  // namespace rlx::device
