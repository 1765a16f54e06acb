// SPDX-License-Identifier: Apache-2.0
#include "tests/support/standard_kernels.h"

#include "runtime/base/check.h"
#include "runtime/kernel/builder.h"
#include "runtime/kernel/op.h"

namespace rlx::kernel::test {
namespace {

using enum Type;

Kernel Done(Builder&& b) {
  absl::StatusOr<Kernel> kernel = std::move(b).Finish();
  CHECK(kernel.ok(), kernel.status().message());
  return *std::move(kernel);
}

}  // namespace

Kernel AddKernel(int local, int64_t elements) {
  Builder b("add", local);
  const Value x = b.Input(kF32), y = b.Input(kF32), out = b.Output(kF32);
  const Value i = b.GlobalId(kI64);
  b.If(b.Lt(i, b.I64(elements)), [&] { b.Store(out, i, b.Add(b.Load(x, i), b.Load(y, i))); });
  return Done(std::move(b));
}

Kernel BiasTanhKernel(int local, int64_t rows, int64_t columns) {
  Builder b("bias_tanh", local);
  const Value x = b.Input(kF32), bias = b.Input(kF32), out = b.Output(kF32);
  const Value i = b.GlobalId(kI64);
  b.If(b.Lt(i, b.I64(rows * columns)), [&] {
    const Value column = b.Rem(i, b.I64(columns));
    const Value sum = b.Add(b.Load(x, i), b.Load(bias, column));
    b.Store(out, i, b.Mul(b.Unary(Op::kTanh, sum), b.F32(2)));
  });
  return Done(std::move(b));
}

Kernel GeluKernel(int local, int64_t elements) {
  Builder b("gelu", local);
  const Value in = b.Input(kF32), out = b.Output(kF32);
  const Value i = b.GlobalId(kI64);
  b.If(b.Lt(i, b.I64(elements)), [&] {
    const Value x = b.Load(in, i);
    const Value erf = b.Unary(Op::kErf, b.Mul(x, b.F32(0.70710678F)));
    b.Store(out, i, b.Mul(b.Mul(x, b.F32(0.5F)), b.Add(erf, b.F32(1))));
  });
  return Done(std::move(b));
}

Kernel SoftmaxKernel(int local, int64_t columns) {
  Builder b("softmax", local);
  const Value x = b.Input(kF32), out = b.Output(kF32);
  const Value n = b.I64(columns);
  const Value base = b.Mul(b.GroupId(kI64), n);
  const auto at = [&](Value column) { return b.Load(x, b.Add(base, column)); };
  const Value max = b.ReduceOver(Op::kReduceMax, kF32, n, at);
  const Value sum = b.ReduceOver(Op::kReduceAdd, kF32, n, [&](Value column) {
    const Value e = b.Unary(Op::kExp, b.Sub(at(column), max));
    b.Store(out, b.Add(base, column), e);
    return e;
  });
  const Value scale = b.Div(b.F32(1), sum);
  b.ForLanes(n, [&](Value column) {
    const Value i = b.Add(base, column);
    b.Store(out, i, b.Mul(b.Load(out, i), scale));
  });
  return Done(std::move(b));
}

Kernel LayerNormKernel(int local, int64_t columns, float epsilon) {
  Builder b("layer_norm", local);
  const Value x = b.Input(kF32), residual = b.Input(kF32);
  const Value gamma = b.Input(kF32), beta = b.Input(kF32);
  const Value out = b.Output(kF32), sum = b.Output(kF32);
  const Value n = b.I64(columns);
  const Value base = b.Mul(b.GroupId(kI64), n);
  const Value inverse = b.F32(1.0F / static_cast<float>(columns));
  const Value total = b.ReduceOver(Op::kReduceAdd, kF32, n, [&](Value column) {
    const Value i = b.Add(base, column);
    const Value s = b.Add(b.Load(x, i), b.Load(residual, i));
    b.Store(sum, i, s);
    return s;
  });
  const Value mean = b.Mul(total, inverse);
  const Value squares = b.ReduceOver(Op::kReduceAdd, kF32, n, [&](Value column) {
    const Value d = b.Sub(b.Load(sum, b.Add(base, column)), mean);
    return b.Mul(d, d);
  });
  const Value variance = b.Mul(squares, inverse);
  const Value scale = b.Unary(Op::kRsqrt, b.Add(variance, b.F32(epsilon)));
  b.ForLanes(n, [&](Value column) {
    const Value i = b.Add(base, column);
    const Value normal = b.Mul(b.Sub(b.Load(sum, i), mean), scale);
    b.Store(out, i, b.Fma(normal, b.Load(gamma, column), b.Load(beta, column)));
  });
  return Done(std::move(b));
}

Kernel ReduceMiddleKernel(int local, int64_t outer, int64_t n, int64_t inner) {
  Builder b("reduce_middle", local);
  const Value x = b.Input(kF32), out = b.Output(kF32);
  const Value i = b.GlobalId(kI64);
  b.If(b.Lt(i, b.I64(outer * inner)), [&] {
    const Value row = b.Div(i, b.I64(inner)), column = b.Rem(i, b.I64(inner));
    const Value base = b.Add(b.Mul(row, b.I64(n * inner)), column);
    const Value cell = b.Cell(b.F32(0));
    b.For(b.I64(n), [&](Value k) {
      const Value at = b.Add(base, b.Mul(k, b.I64(inner)));
      b.Set(cell, b.Add(b.Get(cell), b.Load(x, at)));
    });
    b.Store(out, i, b.Get(cell));
  });
  return Done(std::move(b));
}

Kernel TransposeKernel(int local, int64_t rows, int64_t columns) {
  Builder b("transpose", local);
  const Value x = b.Input(kF32), out = b.Output(kF32);
  const Value i = b.GlobalId(kI32);
  b.If(b.Lt(i, b.Int(kI32, rows * columns)), [&] {
    const Value column = b.Div(i, b.Int(kI32, rows)), row = b.Rem(i, b.Int(kI32, rows));
    b.Store(out, i, b.Load(x, b.Add(b.Mul(row, b.Int(kI32, columns)), column)));
  });
  return Done(std::move(b));
}

Kernel GatherKernel(int local, int64_t entries, int64_t columns) {
  Builder b("gather", local);
  const Value table = b.Input(kF32), index = b.Input(kI64), out = b.Output(kF32);
  const Value row = b.GroupId(kI64), n = b.I64(columns);
  const Value wanted = b.Load(index, row);
  const Value entry = b.Min(b.Max(wanted, b.I64(0)), b.I64(entries - 1));
  b.ForLanes(n, [&](Value column) {
    const Value from = b.Add(b.Mul(entry, n), column);
    b.Store(out, b.Add(b.Mul(row, n), column), b.Load(table, from));
  });
  return Done(std::move(b));
}

Kernel ArgMaxKernel(int local, int64_t columns) {
  Builder b("argmax", local);
  const Value x = b.Input(kF32), out = b.Output(kI64);
  const Value n = b.I64(columns), row = b.GroupId(kI64);
  const auto at = [&](Value column) { return b.Load(x, b.Add(b.Mul(row, n), column)); };
  const Value max = b.ReduceOver(Op::kReduceMax, kF32, n, at);
  const Value first = b.ReduceOver(Op::kReduceMin, kI64, n, [&](Value column) {
    return b.Select(b.Eq(at(column), max), column, n);
  });
  b.If(b.Eq(b.LocalId(kI64), b.I64(0)), [&] { b.Store(out, row, first); });
  return Done(std::move(b));
}

Kernel CastKernel(int local, Type from, Type to, int64_t elements) {
  Builder b("cast", local);
  const Value x = b.Input(from), out = b.Output(to);
  const Value i = b.GlobalId(kI64);
  b.If(b.Lt(i, b.I64(elements)), [&] { b.StoreCast(out, i, b.Load(x, i)); });
  return Done(std::move(b));
}

Kernel ReverseKernel(int local) {
  Builder b("reverse", local);
  const Value x = b.Input(kF32), out = b.Output(kF32), line = b.Shared(kF32, local);
  const Value lane = b.LocalId(kI32), i = b.GlobalId(kI64);
  b.Store(line, lane, b.Load(x, i));
  b.Barrier();
  b.Store(out, i, b.Load(line, b.Sub(b.I32(local - 1), lane)));
  return Done(std::move(b));
}

Kernel MathKernel(int local, Op op, Type t, int64_t elements) {
  Builder b(std::string(Name(op)) + "_" + std::string(Name(t)), local);
  const bool binary = Info(op).operands == 2;
  const Value x = b.Input(t), y = binary ? b.Input(t) : Value{}, out = b.Output(t);
  const Value i = b.GlobalId(kI64);
  b.If(b.Lt(i, b.I64(elements)), [&] {
    const Value a = b.Load(x, i);
    b.Store(out, i, binary ? b.Binary(op, a, b.Load(y, i)) : b.Unary(op, a));
  });
  return Done(std::move(b));
}

}  // namespace rlx::kernel::test
