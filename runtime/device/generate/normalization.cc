// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

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

// The operands of the four ops by role; -1: absent.
struct Roles {
  int x = 0;
  int residual = -1;
  int bias = -1;
  int gamma = -1;
  int beta = -1;
  bool centered = true;  // layer norm subtracts the mean
};

Roles RolesOf(const Node& node) {
  Roles roles;
  const int count = static_cast<int>(node.operands.size());
  roles.centered = node.op == OpKind::kLayerNorm || node.op == OpKind::kFusedResidualLayerNorm;
  int next = 1;
  if (node.op == OpKind::kFusedResidualLayerNorm || node.op == OpKind::kFusedResidualRmsNorm) {
    roles.residual = next++;
    if (node.Bool("has_bias")) roles.bias = next++;
  }
  if (next < count) roles.gamma = next++;
  if (next < count) roles.beta = next++;
  return roles;
}

bool IsLastAxis(const Graph& graph, const Node& node) {
  const AttrValue* axis = node.Find("axis");
  if (axis == nullptr) return true;
  const int64_t rank = graph.type(node.operands[0]).rank();
  return std::get<int64_t>(*axis) == rank - 1;
}

struct Generator {
  ProgramBuilder& out;
  const Node& node;
  NodeId id;
  Roles roles;
  RowSteps::Shape shape;
  Builder b;
  int64_t width = 0, rows = 0;
  Type wide = Type::kF32;
  std::vector<int32_t> buffers;
  Value x{}, residual{}, bias{}, gamma{}, beta{}, norm{}, sum{};

  absl::Status Run(const Schedule& schedule) {
    const std::vector<int64_t> dims = out.graph().type(node.operands[0]).StaticDims();
    width = dims.back();
    rows = 1;
    for (size_t d = 0; d + 1 < dims.size(); ++d) rows *= dims[d];
    wide = WideType(node.results[0].dtype);
    RLX_TRY(Bind(schedule));
    shape.valid() ? BodyInRegisters() : Body();
    RLX_ASSIGN(const kernel::Kernel kernel, std::move(b).Finish());
    out.Launch(kernel, buffers, {}, shape.Groups(rows), Cat(Name(node.op), " %", id));
    return absl::OkStatus();
  }

  absl::StatusOr<Value> Read(int operand, const Schedule& schedule) {
    if (operand < 0) return Value{};
    RLX_ASSIGN(const ProgramBuilder::Operand dense,
               Densify(out, schedule, out.In(node.operands[operand])));
    buffers.push_back(dense.buffer);
    return b.Input(*kernel::FromDType(dense.type.dtype));
  }

  Value Write(int32_t result) {
    if (result >= static_cast<int32_t>(node.results.size())) return {};
    const ProgramBuilder::Operand to = out.Out({id, result});
    if (to.buffer < 0) return {};
    buffers.push_back(to.buffer);
    return b.Output(*kernel::FromDType(to.type.dtype));
  }

  absl::Status Bind(const Schedule& schedule) {
    RLX_ASSIGN(x, Read(roles.x, schedule));
    RLX_ASSIGN(residual, Read(roles.residual, schedule));
    RLX_ASSIGN(bias, Read(roles.bias, schedule));
    RLX_ASSIGN(gamma, Read(roles.gamma, schedule));
    RLX_ASSIGN(beta, Read(roles.beta, schedule));
    norm = Write(0);
    sum = Write(1);
    return absl::OkStatus();
  }

  // x + residual + bias at (row, column); from the stored sum once that is written.
  Value Element(Value base, Value column, bool stored) {
    if (stored && sum.valid() && wide == b.TypeOf(sum)) return b.Load(sum, b.Add(base, column));
    Value v = b.LoadWide(x, b.Add(base, column));
    if (residual.valid()) v = b.Add(v, b.LoadWide(residual, b.Add(base, column)));
    if (bias.valid()) v = b.Add(v, b.LoadWide(bias, column));
    return v;
  }

  Value Inverse(Value variance) {
    return b.Div(b.Float(wide, 1),
                 b.Unary(Op::kSqrt, b.Add(variance, b.Float(wide, node.Float("eps")))));
  }

  Value Scaled(Value v, Value column) {
    if (gamma.valid()) v = b.Mul(v, b.LoadWide(gamma, column));
    return beta.valid() ? b.Add(v, b.LoadWide(beta, column)) : v;
  }

  // Where each lane has few elements of the row: operands are read once.
  void BodyInRegisters() {
    RowSteps row(b, shape, rows, width);
    const Value base = row.base(), zero = b.Float(wide, 0);
    const Value scale = b.Float(wide, 1.0 / static_cast<double>(width));
    std::vector<Value> v = row.Map(zero, [&](size_t, Value i) { return Element(base, i, false); });
    if (sum.valid()) {
      row.ForEach([&](size_t s, Value i) { b.StoreCast(sum, b.Add(base, i), v[s]); });
    }
    if (!norm.valid()) return;
    if (roles.centered) {
      const Value mean = b.Mul(row.Reduce(Op::kReduceAdd, v), scale);
      v = row.Map(zero, [&](size_t s, Value) { return b.Sub(v[s], mean); });
    }
    const std::vector<Value> squares =
        row.Map(zero, [&](size_t s, Value) { return b.Mul(v[s], v[s]); });
    const Value inverse = Inverse(b.Mul(row.Reduce(Op::kReduceAdd, squares), scale));
    row.ForEach([&](size_t s, Value i) {
      b.StoreCast(norm, b.Add(base, i), Scaled(b.Mul(v[s], inverse), i));
    });
  }

  void Body() {
    const Value base = b.Mul(b.GroupId(Type::kI64), b.I64(width));
    const Value extent = b.I64(width);
    const Value scale = b.Float(wide, 1.0 / static_cast<double>(width));
    if (sum.valid()) {
      b.ForLanes(extent,
                 [&](Value i) { b.StoreCast(sum, b.Add(base, i), Element(base, i, false)); });
    }
    if (!norm.valid()) return;
    Value mean = b.Float(wide, 0);
    if (roles.centered) {
      mean = b.Mul(b.ReduceOver(Op::kReduceAdd, wide, extent,
                                [&](Value i) { return Element(base, i, true); }),
                   scale);
    }
    const Value variance = b.Mul(b.ReduceOver(Op::kReduceAdd, wide, extent,
                                              [&](Value i) {
                                                const Value d = b.Sub(Element(base, i, true), mean);
                                                return b.Mul(d, d);
                                              }),
                                 scale);
    const Value inverse = Inverse(variance);
    b.ForLanes(extent, [&](Value i) {
      const Value v = b.Mul(b.Sub(Element(base, i, true), mean), inverse);
      b.StoreCast(norm, b.Add(base, i), Scaled(v, i));
    });
  }
};

}  // namespace

std::string WhyNotNormalization(const Graph& graph, const Node& node) {
  if (!IsLastAxis(graph, node)) return Cat(Name(node.op), " over more than the last axis");
  return WhyNotTypes(graph, node);
}

absl::Status GenerateNormalization(ProgramBuilder& out, NodeId id, const Schedule& schedule) {
  const Node& node = out.graph().node(id);
  const TensorType& type = out.graph().type(node.operands[0]);
  const int64_t width = type.StaticDims().back();
  const RowSteps::Shape shape =
      RowSteps::ShapeFor(schedule, *type.NumElements() / std::max<int64_t>(1, width), width);
  return Generator{.out = out,
                   .node = node,
                   .id = id,
                   .roles = RolesOf(node),
                   .shape = shape,
                   .b = Builder("norm", shape.valid() ? shape.lanes : schedule.RowLanes(width))}
      .Run(schedule);
}

}  // namespace rlx::device
