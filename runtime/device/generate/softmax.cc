// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/device/generate/emit_op.h"
#include "runtime/device/generate/generate.h"
#include "runtime/device/generate/row_steps.h"
#include "runtime/ir/op_info.h"

namespace rlx::device {
namespace {

using kernel::Builder;
using kernel::Op;
using kernel::Type;
using kernel::Value;

// The tensor as [outer, axis, inner].
struct Space {
  int64_t outer = 1, extent = 1, inner = 1;
};

Space Split(const std::vector<int64_t>& dims, int64_t axis) {
  Space space;
  for (int64_t d = 0; d < static_cast<int64_t>(dims.size()); ++d) {
    int64_t& part = d < axis ? space.outer : d == axis ? space.extent : space.inner;
    part *= dims[d];
  }
  return space;
}

// A row a group, lanes along the row.
void AlongRow(Builder& b, Value x, Value y, Type wide, int64_t extent) {
  const Value base = b.Mul(b.GroupId(Type::kI64), b.I64(extent));
  const auto load = [&](Value i) { return b.LoadWide(x, b.Add(base, i)); };
  const Value top = b.ReduceOver(Op::kReduceMax, wide, b.I64(extent), load);
  const bool keeps = b.TypeOf(y) == wide;  // the exponentials fit where the result goes
  const auto raised = [&](Value i) { return b.Unary(Op::kExp, b.Sub(load(i), top)); };
  const Value total = b.ReduceOver(Op::kReduceAdd, wide, b.I64(extent), [&](Value i) {
    const Value e = raised(i);
    if (keeps) b.Store(y, b.Add(base, i), e);
    return e;
  });
  const Value scale = b.Div(b.Float(wide, 1), total);
  b.ForLanes(b.I64(extent), [&](Value i) {
    const Value e = keeps ? b.Load(y, b.Add(base, i)) : raised(i);
    b.StoreCast(y, b.Add(base, i), b.Mul(e, scale));
  });
}

// The same where each lane has few elements: they are read once.
void InRegisters(Builder& b, Value x, Value y, Type wide, RowSteps row) {
  const std::vector<Value> read = row.Map(b.Identity(Op::kReduceMax, wide), [&](size_t, Value i) {
    return b.LoadWide(x, b.Add(row.base(), i));
  });
  const Value top = row.Reduce(Op::kReduceMax, read);
  const std::vector<Value> raised = row.Map(
      b.Float(wide, 0), [&](size_t s, Value) { return b.Unary(Op::kExp, b.Sub(read[s], top)); });
  const Value scale = b.Div(b.Float(wide, 1), row.Reduce(Op::kReduceAdd, raised));
  row.ForEach(
      [&](size_t s, Value i) { b.StoreCast(y, b.Add(row.base(), i), b.Mul(raised[s], scale)); });
}

// Lanes over neighbouring columns, each walking down the axis.
void DownColumns(Builder& b, Value x, Value y, Type wide, const Space& space, int64_t chunks) {
  const Value group = b.GroupId(Type::kI64);
  const Value outer = b.Div(group, b.I64(chunks));
  const Value start = b.Mul(b.Rem(group, b.I64(chunks)), b.I64(b.local()));
  const Value column = b.Add(start, b.LocalId(Type::kI64));
  b.If(b.Lt(column, b.I64(space.inner)), [&] {
    const Value base = b.Add(b.Mul(outer, b.I64(space.extent * space.inner)), column);
    const auto at = [&](Value i) { return b.Add(base, b.Mul(i, b.I64(space.inner))); };
    const Value top = b.Cell(b.Identity(Op::kReduceMax, wide));
    b.For(b.I64(space.extent),
          [&](Value i) { b.Set(top, b.Max(b.Get(top), b.LoadWide(x, at(i)))); });
    const Value total = b.Cell(b.Float(wide, 0));
    const auto raised = [&](Value i) {
      return b.Unary(Op::kExp, b.Sub(b.LoadWide(x, at(i)), b.Get(top)));
    };
    b.For(b.I64(space.extent), [&](Value i) { b.Set(total, b.Add(b.Get(total), raised(i))); });
    const Value scale = b.Div(b.Float(wide, 1), b.Get(total));
    b.For(b.I64(space.extent), [&](Value i) { b.StoreCast(y, at(i), b.Mul(raised(i), scale)); });
  });
}

}  // namespace

std::string WhyNotSoftmax(const Graph& graph, const Node& node) {
  if (!IsFloat(node.results[0].dtype)) return Cat("softmax of ", Name(node.results[0].dtype));
  return WhyNotTypes(graph, node);
}

absl::Status GenerateSoftmax(ProgramBuilder& out, NodeId id, const Schedule& schedule) {
  const Node& node = out.graph().node(id);
  RLX_ASSIGN(const ProgramBuilder::Operand x, Densify(out, schedule, out.In(node.operands[0])));
  const ProgramBuilder::Operand y = out.Out({id, 0});
  const Space space = Split(x.dims, node.Int("axis"));
  const bool rows = space.inner == 1;
  const RowSteps::Shape shape =
      rows ? RowSteps::ShapeFor(schedule, space.outer, space.extent) : RowSteps::Shape{};
  Builder b("softmax", shape.valid() ? shape.lanes
                       : rows        ? schedule.RowLanes(space.extent)
                                     : schedule.lanes);
  const Type stored = *kernel::FromDType(x.type.dtype), wide = kernel::WideOf(stored);
  const Value in = b.Input(stored), to = b.Output(stored);
  const int64_t chunks = (space.inner + schedule.lanes - 1) / schedule.lanes;
  int64_t groups = space.outer;
  if (shape.valid()) {
    InRegisters(b, in, to, wide, RowSteps(b, shape, space.outer, space.extent));
    groups = shape.Groups(space.outer);
  } else if (rows) {
    AlongRow(b, in, to, wide, space.extent);
  } else {
    DownColumns(b, in, to, wide, space, chunks);
    groups *= chunks;
  }
  RLX_ASSIGN(const kernel::Kernel kernel, std::move(b).Finish());
  out.Launch(kernel, {x.buffer, y.buffer}, {}, groups, Cat("softmax %", id));
  return absl::OkStatus();
}

}  // namespace rlx::device
