// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/ops/attention.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

absl::StatusOr<int64_t> RowOf(const EvalContext& ctx, int64_t b, int64_t s) {
  const int64_t rows = ctx.operands[1]->dims[0];
  if (ctx.operands.size() < 4) return s;
  const EvalTensor& positions = *ctx.operands[3];
  const int64_t row = positions.i[BroadcastOffset({b, s}, positions.dims)];
  if (row >= 0 && row < rows) return row;
  return InvalidArgument("position ", row, " is outside the table of ", rows, " rows");
}

// Rotates the halves of the first n_rot elements of the last axis.
Value Rotate(GraphBuilder& b, Value x, Value cos, Value sin, int64_t n_rot, int64_t width) {
  const int64_t half = n_rot / 2;
  const Value low = b.Narrow(x, -1, 0, half), high = b.Narrow(x, -1, half, half);
  std::vector<Value> parts = {b.Sub(b.Mul(low, cos), b.Mul(high, sin)),
                              b.Add(b.Mul(high, cos), b.Mul(low, sin))};
  if (n_rot < width) parts.push_back(b.Narrow(x, -1, n_rot, width - n_rot));
  return b.Concat(std::move(parts), -1);
}

// The rows of a table that the positions choose: [S, n/2] or [B, S, n/2].
Value TableRows(GraphBuilder& b, Value table, const Node& node, const Dim& length) {
  if (node.operands.size() > 3) {
    return b.Emit(OpKind::kGather, {table, node.operands[3]},
                  {{"axis", int64_t{0}}, {"of", std::string("rope")}});
  }
  const Dim rows = b.type(table).shape[0];
  if (rows == length) return table;
  if (length.is_static()) return b.Narrow(table, 0, 0, length.value());
  return b.Gather(table, Iota(b, length, DType::kI32));
}

}  // namespace

int64_t RotaryDims(const Node& node) {
  return MaybeInt(node, "n_rot").value_or(node.Int("head_dim"));
}

absl::Status CheckRotaryDims(const Node& node) {
  const int64_t n_rot = RotaryDims(node), head_dim = node.Int("head_dim");
  if (n_rot % 2 != 0) return InvalidArgument("n_rot ", n_rot, " is odd");
  if (n_rot <= head_dim) return absl::OkStatus();
  return InvalidArgument("n_rot ", n_rot, " is more than head_dim ", head_dim);
}

absl::Status CheckRotaryTables(InferContext& ctx, int cos, int positions, const Dim& batch,
                               const Dim& length) {
  const TensorType& table = ctx.operands[cos];
  if (table.rank() != 2)
    return InvalidArgument("cos has rank ", table.rank(), " where 2 is needed");
  const Dim rows = table.shape[0];
  const Shape want = {rows, RotaryDims(ctx.node) / 2};
  RLX_TRY(RequireShape(ctx, cos, "cos", want));
  RLX_TRY(RequireShape(ctx, cos + 1, "sin", want));
  for (int i : {cos, cos + 1}) {
    if (ctx.operands[i].dtype == ctx.operands[0].dtype) continue;
    return InvalidArgument(i == cos ? "cos" : "sin", " is ", ctx.operands[i].dtype, " where x is ",
                           ctx.operands[0].dtype);
  }
  if (positions < 0) {  // length ≤ rows
    if (RequireEqual(Max(length, rows), rows, ctx.constraints)) return absl::OkStatus();
    return InvalidArgument("cos has ", rows, " rows for a sequence of ", length);
  }
  const TensorType& index = ctx.operands[positions];
  if (index.dtype != DType::kI32 && index.dtype != DType::kI64) {
    return InvalidArgument("positions are ", index.dtype, " where i32 or i64 is needed");
  }
  const bool per_batch = index.rank() == 2;
  return RequireShape(ctx, positions, "positions",
                      per_batch ? Shape{batch, length} : Shape{length});
}

absl::Status InferRope(InferContext& ctx) {
  const TensorType& x = ctx.operands[0];
  const int64_t head_dim = ctx.node.Int("head_dim");
  RLX_TRY(RequireFloats(ctx, 1));
  RLX_TRY(CheckRotaryDims(ctx.node));
  if (x.rank() != 3 && x.rank() != 4) {
    return InvalidArgument("x has rank ", x.rank(),
                           " where 3 ([b,s,h·d]) or 4 ([b,h,s,d]) is needed");
  }
  const Dim last = x.shape.back();
  const bool fits =
      last.is_static() && (x.rank() == 4 ? last.value() == head_dim : last.value() % head_dim == 0);
  if (!fits) {
    return InvalidArgument("x is ", x, ", whose last extent does not hold heads of ", head_dim);
  }
  RLX_TRY(CheckRotaryTables(ctx, 1, ctx.operands.size() > 3 ? 3 : -1, x.shape[0],
                            x.shape[x.rank() == 4 ? 2 : 1]));
  ctx.results = {x};
  return absl::OkStatus();
}

absl::Status EvaluateRope(EvalContext& ctx) {
  const EvalTensor &x = *ctx.operands[0], &cos = *ctx.operands[1], &sin = *ctx.operands[2];
  std::vector<double>& out = ctx.results[0].f;
  const int64_t width = ctx.node.Int("head_dim"), half = RotaryDims(ctx.node) / 2;
  const bool rank4 = x.dims.size() == 4;
  const int64_t heads = rank4 ? x.dims[1] : x.dims[2] / width;
  const HeadView view{x.dims, width};
  std::vector<int64_t> at(3, 0);
  out = x.f;
  do {
    RLX_ASSIGN(const int64_t row, RowOf(ctx, at[0], at[2]));
    const int64_t first = view.At(at[0], at[1], at[2]);
    for (int64_t i = 0; i < half; ++i) {
      const double a = x.f[first + i], b = x.f[first + i + half];
      const double c = cos.f[row * half + i], s = sin.f[row * half + i];
      out[first + i] = a * c - b * s;
      out[first + i + half] = b * c + a * s;
    }
  } while (NextIndex(at, {x.dims[0], heads, rank4 ? x.dims[2] : x.dims[1]}));
  return absl::OkStatus();
}

OpSample SampleRope(Rng& rng) {
  const int64_t b = Draw(rng, 1, 3), s = Draw(rng, 1, 7), h = Draw(rng, 1, 3);
  const int64_t d = Draw(rng, 2, 11), n_rot = 2 * Draw(rng, 1, d / 2);
  const int64_t rows = s + Draw(rng, 0, 5);
  const bool whole = d % 2 == 0 && Flip(rng);
  const Shape table = {rows, (whole ? d : n_rot) / 2};
  OpSample sample{{FloatOperand(Flip(rng) ? Shape{b, h, s, d} : Shape{b, s, h * d}),
                   FloatOperand(table, -1, 1), FloatOperand(table, -1, 1)},
                  {{"head_dim", d}}};
  if (!whole) sample.attrs.push_back({"n_rot", n_rot});
  if (Flip(rng)) {
    sample.operands.push_back(
        {.type = {Pick(rng, {DType::kI32, DType::kI64}), Flip(rng) ? Shape{b, s} : Shape{s}},
         .low = 0,
         .high = static_cast<double>(rows - 1)});
  }
  return sample;
}

absl::StatusOr<std::vector<Value>> DecomposeRope(GraphBuilder& b, const Node& node) {
  RLX_TRY(b.status());
  Value x = node.operands[0];
  const Shape shape = b.type(x).shape;
  const int64_t width = node.Int("head_dim"), n_rot = RotaryDims(node);
  const bool rank4 = shape.size() == 4;
  const Dim& length = shape[rank4 ? 2 : 1];
  auto rows = [&](Value table) {  // with a dim for the heads
    Value chosen = TableRows(b, table, node, length);
    if (!b.status().ok()) return chosen;
    const bool per_batch = b.type(chosen).rank() == 3;
    if (rank4 && !per_batch) return chosen;
    const Dim first = per_batch ? b.type(chosen).shape[0] : Dim(1);
    return rank4 ? b.Reshape(chosen, {first, 1, length, n_rot / 2})
                 : b.Reshape(chosen, {first, length, 1, n_rot / 2});
  };
  if (!rank4) {
    x = b.Reshape(x, {shape[0], shape[1], Dim(shape[2].value() / width), width});
  }
  const Value cos = rows(node.operands[1]), sin = rows(node.operands[2]);
  const Value out = Rotate(b, x, cos, sin, n_rot, width);
  return Lowered(b, {rank4 ? out : b.Reshape(out, shape)});
}

}  // namespace rlx
