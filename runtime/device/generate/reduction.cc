// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/base/check.h"
#include "runtime/base/status.h"
#include "runtime/device/generate/emit_op.h"
#include "runtime/device/generate/generate.h"
#include "runtime/ir/op_info.h"

namespace rlx::device {
namespace {

using kernel::Builder;
using kernel::Op;
using kernel::Type;
using kernel::Value;

Op ReduceOp(OpKind kind) {
  switch (kind) {
    case OpKind::kReduceMax:
      return Op::kReduceMax;
    case OpKind::kReduceMin:
      return Op::kReduceMin;
    case OpKind::kReduceProd:
      return Op::kReduceMul;
    default:
      return Op::kReduceAdd;
  }
}

// A dim of the operand: how far apart its elements are.
struct Axis {
  int64_t extent = 1;
  int64_t stride = 0;
};

// Operand dims that stay, and dims that are reduced; neighbours of a kind that are walked as one
// are merged. The result is dense over `kept`.
struct Axes {
  std::vector<Axis> kept, reduced;
  int64_t outputs = 1, count = 1;
};

void Append(std::vector<Axis>& list, Axis axis, bool adjacent) {
  if (adjacent && !list.empty() && list.back().stride == axis.stride * axis.extent) {
    list.back() = {list.back().extent * axis.extent, axis.stride};
  } else {
    list.push_back(axis);
  }
}

Axes Classify(const ProgramBuilder::Operand& x, const std::vector<int64_t>& axes) {
  Axes out;
  for (int64_t d = 0; d < static_cast<int64_t>(x.dims.size()); ++d) {
    const bool reduced = std::find(axes.begin(), axes.end(), d) != axes.end();
    (reduced ? out.count : out.outputs) *= x.dims[d];
    if (x.dims[d] > 1) Append(reduced ? out.reduced : out.kept, {x.dims[d], x.strides[d]}, true);
  }
  return out;
}

// Σ coordinate · stride of a flat index over `axes`.
Value Offset(Builder& b, Value index, const std::vector<Axis>& axes) {
  Value sum = b.I64(0);
  for (size_t d = axes.size(); d-- > 0;) {
    const Value coordinate = d == 0 ? index : b.Rem(index, b.I64(axes[d].extent));
    if (d > 0) index = b.Div(index, b.I64(axes[d].extent));
    sum = b.Add(sum, b.Mul(coordinate, b.I64(axes[d].stride)));
  }
  return sum;
}

struct Generator {
  Builder b;
  Op op;
  Axes axes;
  Type wide = Type::kF32;
  bool mean = false;
  Value x{}, y{};

  Value Settle(Value total) {
    if (!mean) return total;
    if (Has(kernel::kFloats, wide)) {
      return b.Mul(total, b.Float(wide, 1.0 / static_cast<double>(axes.count)));
    }
    return b.Div(total, b.Int(wide, axes.count));
  }

  // The innermost reduced dim is contiguous: lanes along it, an output a group.
  int64_t Along() {
    const Axis inner = axes.reduced.back();
    std::vector<Axis> outer(axes.reduced.begin(), axes.reduced.end() - 1);
    const int64_t steps = axes.count / inner.extent;
    const Value group = b.GroupId(Type::kI64);
    const Value base = Offset(b, group, axes.kept);
    const Value cell = b.Cell(b.Identity(op, wide));
    const auto sweep = [&](Value from) {
      b.ForLanes(b.I64(inner.extent), [&](Value i) {
        const Value at = b.Add(from, b.Mul(i, b.I64(inner.stride)));
        b.Set(cell, b.Combine(op, b.Get(cell), b.LoadWide(x, at)));
      });
    };
    if (steps == 1) {
      sweep(base);
    } else {
      b.For(b.I64(steps), [&](Value s) { sweep(b.Add(base, Offset(b, s, outer))); });
    }
    b.StoreCast(y, group, Settle(b.Reduce(op, b.Get(cell))));
    return axes.outputs;
  }

  // Lanes over neighbouring outputs, each walking all that it reduces.
  int64_t Across() {
    const Value at = b.GlobalId(Type::kI64);
    b.If(b.Lt(at, b.I64(axes.outputs)), [&] {
      const Value base = Offset(b, at, axes.kept);
      const Value cell = b.Cell(b.Identity(op, wide));
      b.For(b.I64(axes.count), [&](Value s) {
        const Value from = b.Add(base, Offset(b, s, axes.reduced));
        b.Set(cell, b.Combine(op, b.Get(cell), b.LoadWide(x, from)));
      });
      b.StoreCast(y, at, Settle(b.Get(cell)));
    });
    return (axes.outputs + b.local() - 1) / b.local();
  }

  int64_t Body(bool along) { return along ? Along() : Across(); }
};

}  // namespace

std::string WhyNotReduction(const Graph& graph, const Node& node) {
  if (node.results[0].dtype == DType::kBool) return Cat(Name(node.op), " of bool");
  return WhyNotTypes(graph, node);
}

absl::Status GenerateReduction(ProgramBuilder& out, NodeId id, const Schedule& schedule) {
  const Node& node = out.graph().node(id);
  const ProgramBuilder::Operand x = out.In(node.operands[0]);
  const ProgramBuilder::Operand y = out.Out({id, 0});
  Axes axes = Classify(x, node.Ints("axes"));
  const int64_t row =
      axes.reduced.empty() || axes.reduced.back().stride != 1 ? 0 : axes.reduced.back().extent;
  const bool along = row >= schedule.LeastRowLanes();
  Generator g{.b = Builder("reduce", along ? schedule.RowLanes(row) : schedule.lanes),
              .op = ReduceOp(node.op),
              .axes = std::move(axes)};
  g.wide = WideType(x.type.dtype);
  g.mean = node.op == OpKind::kReduceMean;
  g.x = g.b.Input(*kernel::FromDType(x.type.dtype));
  g.y = g.b.Output(*kernel::FromDType(y.type.dtype));
  const int64_t groups = g.Body(along);
  RLX_ASSIGN(const kernel::Kernel kernel, std::move(g.b).Finish());
  out.Launch(kernel, {x.buffer, y.buffer}, {}, groups, Cat(Name(node.op), " %", id));
  return absl::OkStatus();
}

std::string WhyNotCumsum(const Graph& graph, const Node& node) {
  if (node.results[0].dtype == DType::kBool) return "cumsum of bool";
  return WhyNotTypes(graph, node);
}

absl::Status GenerateCumsum(ProgramBuilder& out, NodeId id, const Schedule& schedule) {
  const Node& node = out.graph().node(id);
  RLX_ASSIGN(const ProgramBuilder::Operand x, Densify(out, schedule, out.In(node.operands[0])));
  const ProgramBuilder::Operand y = out.Out({id, 0});
  const int64_t axis = node.Int("axis");
  const int64_t extent = x.dims[axis], stride = x.strides[axis];
  const int64_t lines = *x.type.NumElements() / extent;
  Builder b("cumsum", schedule.lanes);
  const Type stored = *kernel::FromDType(x.type.dtype);
  const Value in = b.Input(stored), to = b.Output(stored);
  // A line a lane; line l starts at (l / stride) · stride · extent + l mod stride.
  const Value line = b.GlobalId(Type::kI64);
  b.If(b.Lt(line, b.I64(lines)), [&] {
    const Value base = b.Add(b.Mul(b.Div(line, b.I64(stride)), b.I64(stride * extent)),
                             b.Rem(line, b.I64(stride)));
    const Type wide = kernel::WideOf(stored);
    const Value sum = b.Cell(Has(kernel::kFloats, wide) ? b.Float(wide, 0) : b.Int(wide, 0));
    b.For(b.I64(extent), [&](Value i) {
      const Value at = b.Add(base, b.Mul(i, b.I64(stride)));
      const Value next = b.Add(b.Get(sum), b.LoadWide(in, at));
      b.StoreCast(to, at, node.Bool("exclusive") ? b.Get(sum) : next);
      b.Set(sum, next);
    });
  });
  RLX_ASSIGN(const kernel::Kernel kernel, std::move(b).Finish());
  out.Launch(kernel, {x.buffer, y.buffer}, {}, (lines + schedule.lanes - 1) / schedule.lanes,
             Cat("cumsum %", id));
  return absl::OkStatus();
}

}  // namespace rlx::device
