// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/device/generate/emit_op.h"
#include "runtime/device/generate/generate.h"
#include "runtime/ir/op_info.h"

namespace rlx::device {
namespace {

using kernel::Builder;
using kernel::Type;
using kernel::Value;

struct Generator {
  ProgramBuilder& out;
  const Node& node;
  NodeId id;
  Builder b;
  ProgramBuilder::Operand x, w, y;
  std::vector<int32_t> buffers;
  Value in_x{}, in_w{}, in_bias{}, in_residual{}, to{};

  Value Bind(const ProgramBuilder::Operand& operand, bool writable) {
    buffers.push_back(operand.buffer);
    return b.Buffer(*kernel::FromDType(operand.type.dtype), writable);
  }

  absl::Status BindAll(const Schedule& schedule) {
    in_x = Bind(x, false);
    in_w = Bind(w, false);
    size_t next = 2;
    if (node.op == OpKind::kFusedMatMulBiasAct) {
      for (auto [flag, value] : {std::pair{"has_bias", &in_bias}, {"has_residual", &in_residual}}) {
        if (!node.Bool(flag)) continue;
        RLX_ASSIGN(const ProgramBuilder::Operand dense,
                   Densify(out, schedule, out.In(node.operands[next++])));
        *value = Bind(dense, false);
      }
    }
    to = Bind(y, true);
    return absl::OkStatus();
  }

  // Offset of a batch's matrix, broadcasting aligned on the right.
  Value BatchOffset(Value batch, const ProgramBuilder::Operand& operand) {
    const size_t batch_dims = y.dims.size() - 2, own = operand.dims.size() - 2;
    Value sum = b.I64(0);
    for (size_t d = batch_dims; d-- > 0;) {
      const Value at = d == 0 ? batch : b.Rem(batch, b.I64(y.dims[d]));
      if (d > 0) batch = b.Div(batch, b.I64(y.dims[d]));
      if (d + own < batch_dims) continue;
      const size_t k = d + own - batch_dims;
      if (operand.dims[k] != 1) sum = b.Add(sum, b.Mul(at, b.I64(operand.strides[k])));
    }
    return sum;
  }

  // A row of the result, `local` columns of it, a group.
  int64_t Body() {
    const int64_t m = y.dims[y.dims.size() - 2], n = y.dims.back(), k = x.dims.back();
    const int64_t chunks = (n + b.local() - 1) / b.local();
    const int64_t rows = *y.type.NumElements() / n;
    const Type wide = WideType(x.type.dtype);
    const Value group = b.GroupId(Type::kI64);
    const Value row = b.Div(group, b.I64(chunks));
    const Value batch = b.Div(row, b.I64(m));
    const Value x_row = b.Add(BatchOffset(batch, x),
                              b.Mul(b.Rem(row, b.I64(m)), b.I64(x.strides[x.dims.size() - 2])));
    const Value w_batch = BatchOffset(batch, w);
    const Value column =
        b.Add(b.Mul(b.Rem(group, b.I64(chunks)), b.I64(b.local())), b.LocalId(Type::kI64));
    b.If(b.Lt(column, b.I64(n)), [&] {
      const Value w_column = b.Add(w_batch, b.Mul(column, b.I64(w.strides.back())));
      const Value sum = b.Cell(b.Int(wide, 0));
      b.For(b.I64(k), [&](Value i) {
        const Value a = b.LoadWide(in_x, b.Add(x_row, b.Mul(i, b.I64(x.strides.back()))));
        const Value c =
            b.LoadWide(in_w, b.Add(w_column, b.Mul(i, b.I64(w.strides[w.dims.size() - 2]))));
        b.Set(sum, b.Add(b.Get(sum), b.Mul(a, c)));
      });
      const Value at = b.Add(b.Mul(row, b.I64(n)), column);
      b.StoreCast(to, at, Epilogue(b.Get(sum), at, column));
    });
    return rows * chunks;
  }

  Value Epilogue(Value v, Value at, Value column) {
    if (in_bias.valid()) v = b.Add(v, b.LoadWide(in_bias, column));
    if (node.op == OpKind::kFusedMatMulBiasAct) v = EmitActivation(b, node.Str("activation"), v);
    if (in_residual.valid()) v = b.Add(v, b.LoadWide(in_residual, at));
    return v;
  }
};

}  // namespace

std::string WhyNotMatMul(const Graph& graph, const Node& node) {
  if (node.results[0].dtype == DType::kBool) return Cat(Name(node.op), " of bool");
  return WhyNotTypes(graph, node);
}

absl::Status GenerateMatMul(ProgramBuilder& out, NodeId id, const Schedule& schedule) {
  const Node& node = out.graph().node(id);
  Generator g{.out = out,
              .node = node,
              .id = id,
              .b = Builder("matmul", schedule.lanes),
              .x = out.In(node.operands[0]),
              .w = out.In(node.operands[1]),
              .y = out.Out({id, 0})};
  RLX_TRY(g.BindAll(schedule));
  const int64_t groups = g.Body();
  RLX_ASSIGN(const kernel::Kernel kernel, std::move(g.b).Finish());
  out.Launch(kernel, g.buffers, {}, groups, Cat(Name(node.op), " %", id));
  return absl::OkStatus();
}

}  // namespace rlx::device
