// SPDX-License-Identifier: Apache-2.0
// What mixtures of experts and adapters are made of.
#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/ops/attention.h"
#include "runtime/ir/ops/elementwise.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/matmul.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

using Ints = std::vector<int64_t>;

// --- lora_matmul

absl::Status InferLoraMatMul(InferContext& ctx) {
  const TensorType &x = ctx.operands[0], &w = ctx.operands[1], &a = ctx.operands[2];
  RLX_TRY(RequireFloats(ctx, 4));
  constexpr std::string_view kNames[] = {"x", "w", "a", "b"};
  for (int i = 1; i < 4; ++i) {
    if (ctx.operands[i].rank() != 2)
      return InvalidArgument(kNames[i], " has rank ", ctx.operands[i].rank(), " where 2 is needed");
  }
  RLX_ASSIGN(TensorType out, MatMulType(ctx, x, w));
  RLX_TRY(RequireShape(ctx, 2, "a", {w.shape[0], a.shape[1]}));
  RLX_TRY(RequireShape(ctx, 3, "b", {a.shape[1], w.shape[1]}));
  ctx.results = {std::move(out)};
  return absl::OkStatus();
}

absl::Status EvaluateLoraMatMul(EvalContext& ctx) {
  const auto& v = ctx.operands;
  EvalTensor& out = ctx.results[0];
  EvalTensor low = *v[0], update = out;
  low.dims.back() = v[2]->dims[1];
  low.f.assign(low.size(), 0);
  MatMulInto(*v[0], *v[1], out);
  MatMulInto(*v[0], *v[2], low);
  MatMulInto(low, *v[3], update);
  for (int64_t k = 0; k < out.size(); ++k) out.f[k] += ctx.node.Float("scale") * update.f[k];
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Value>> DecomposeLoraMatMul(GraphBuilder& b, const Node& node) {
  const auto& v = node.operands;
  const Value scale = b.Scalar(node.results[0].dtype, node.Float("scale"));
  const Value low = b.Mul(b.MatMul(v[0], v[2]), scale);
  return Lowered(b, {b.Add(b.MatMul(v[0], v[1]), b.MatMul(low, v[3]))});
}

OpSample SampleLoraMatMul(Rng& rng) {
  const int64_t m = Draw(rng, 1, 9), k = Draw(rng, 1, 33), n = Draw(rng, 1, 19);
  const int64_t r = Draw(rng, 1, 8);
  return {{FloatOperand(Flip(rng) ? Shape{2, m, k} : Shape{m, k}), FloatOperand({k, n}),
           FloatOperand({k, r}), FloatOperand({r, n})},
          {{"scale", Pick(rng, {0.5, 2.0, 0.0})}}};
}

// --- grouped_matmul

absl::Status InferGroupedMatMul(InferContext& ctx) {
  const TensorType &x = ctx.operands[0], &w = ctx.operands[1];
  RLX_TRY(RequireFloats(ctx, 2));
  RLX_TRY(RequireIndices(ctx, 2));
  if (x.rank() != 2) return InvalidArgument("x has rank ", x.rank(), " where 2 is needed");
  if (w.rank() != 3) return InvalidArgument("w has rank ", w.rank(), " where 3 is needed");
  RLX_TRY(RequireEqual(ctx, x.shape[1], w.shape[1], "k"));
  RLX_TRY(RequireShape(ctx, 2, "expert", {x.shape[0]}));
  ctx.results = {{x.dtype, {x.shape[0], w.shape[2]}}};
  return absl::OkStatus();
}

absl::Status EvaluateGroupedMatMul(EvalContext& ctx) {
  const EvalTensor &x = *ctx.operands[0], &w = *ctx.operands[1];
  const int64_t k = w.dims[1], n = w.dims[2];
  for (int64_t row = 0; row < x.dims[0]; ++row) {
    const int64_t expert = ctx.operands[2]->i[row];
    if (expert < 0 || expert >= w.dims[0])
      return InvalidArgument("expert ", expert, " is outside ", w.dims[0]);
    for (int64_t p = 0; p < k; ++p)
      for (int64_t j = 0; j < n; ++j)
        ctx.results[0].f[row * n + j] += x.f[row * k + p] * w.f[(expert * k + p) * n + j];
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Value>> DecomposeGroupedMatMul(GraphBuilder& b, const Node& node) {
  RLX_TRY(b.status());
  const Shape rows = b.type(node.operands[0]).shape;
  const Value x = b.Reshape(node.operands[0], {rows[0], 1, rows[1]});
  const Value w = b.Emit(OpKind::kGather, {node.operands[1], node.operands[2]},
                         {{"axis", int64_t{0}}, {"of", std::string("grouped_matmul")}});
  const Value out = b.MatMul(x, w);
  return Lowered(b, {b.Reshape(out, node.results[0].shape)});
}

OpSample SampleGroupedMatMul(Rng& rng) {
  const int64_t m = Draw(rng, 1, 9), k = Draw(rng, 1, 17), n = Draw(rng, 1, 13);
  const int64_t experts = Draw(rng, 1, 5);
  return {{FloatOperand({m, k}),
           FloatOperand({experts, k, n}),
           {.type = {Pick(rng, {DType::kI32, DType::kI64}), {m}},
            .low = 0,
            .high = static_cast<double>(experts - 1)}},
          {}};
}

// --- scatter_add

absl::Status InferScatterAdd(InferContext& ctx) {
  RLX_TRY(RequireReal(ctx, 0));
  RLX_TRY(RequireIndices(ctx, 1));
  const TensorType& updates = ctx.operands[0];
  if (updates.rank() < 1) return InvalidArgument("updates are a scalar");
  RLX_TRY(RequireShape(ctx, 1, "indices", {updates.shape[0]}));
  const Shape& rows = ctx.node.Dims("rows");
  if (rows.size() != 1)
    return InvalidArgument("rows is ", ToString(rows), " where one extent is needed");
  if (rows[0].is_static() && rows[0].value() < 1)
    return InvalidArgument("rows is ", rows[0], ", below 1");
  TensorType out = updates;
  out.shape[0] = rows[0];
  ctx.results = {std::move(out)};
  return absl::OkStatus();
}

absl::Status EvaluateScatterAdd(EvalContext& ctx) {
  const EvalTensor &updates = *ctx.operands[0], &indices = *ctx.operands[1];
  EvalTensor& out = ctx.results[0];
  const int64_t width = Product(updates.dims, 1);
  for (int64_t u = 0; u < updates.dims[0]; ++u) {
    const int64_t row = indices.i[u];
    if (row < 0 || row >= out.dims[0])
      return InvalidArgument("index ", row, " is outside extent ", out.dims[0]);
    for (int64_t t = 0; t < width; ++t) {
      if (IsExact(out.dtype)) {
        const auto sum = static_cast<uint64_t>(out.i[row * width + t]) +
                         static_cast<uint64_t>(updates.i[u * width + t]);
        out.i[row * width + t] = WrapToInt(out.dtype, static_cast<int64_t>(sum));
      } else {
        out.f[row * width + t] += updates.f[u * width + t];
      }
    }
  }
  return absl::OkStatus();
}

// Each row sums the updates whose index it is; the others count as zero, whatever they hold. An
// index that is no row's is not passed over.
absl::StatusOr<std::vector<Value>> DecomposeScatterAdd(GraphBuilder& b, const Node& node) {
  RLX_TRY(b.status());
  const TensorType& type = node.results[0];
  const TensorType updates = b.type(node.operands[0]);
  const Value at = CheckedIndices(b, node.operands[1], type.shape[0], "scatter_add");
  Shape here = updates.shape, pick(updates.shape.size() + 1, 1);
  here.insert(here.begin(), Dim(1));
  pick[0] = type.shape[0];
  pick[1] = updates.shape[0];
  const Value rows = b.Reshape(Iota(b, type.shape[0], DType::kI64), {type.shape[0], 1});
  const Value hit = b.Reshape(b.Emit(OpKind::kEq, {rows, at}), std::move(pick));
  const Value kept =
      b.Where(hit, b.Reshape(node.operands[0], std::move(here)), b.Scalar(type.dtype, 0));
  return Lowered(b, {b.Reduce(OpKind::kReduceSum, kept, {1}, false)});
}

OpSample SampleScatterAdd(Rng& rng) {
  const int64_t rows = Draw(rng, 1, 7);
  Shape updates = DrawShape(rng, 1, 3);
  const Dim count = updates[0];
  return {{FloatOperand(std::move(updates)),
           {.type = {Pick(rng, {DType::kI32, DType::kI64}), {count}},
            .low = 0,
            .high = static_cast<double>(rows - 1)}},
          {{"rows", Shape{rows}}}};
}

constexpr AttrSpec kLoraAttrs[] = {
    {.name = "scale", .type = AttrType::kFloat, .doc = "of the low-rank part"},
};
constexpr AttrSpec kScatterAttrs[] = {
    {.name = "rows", .type = AttrType::kShape, .doc = "one extent: how many rows the result has"},
};

constexpr RunCheck kExpertChecks[] = {{.operand = 2}};
constexpr RunCheck kScatterChecks[] = {{.operand = 1}};

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kLoraMatMul,
     .name = "lora_matmul",
     .claim = "LoraMatMul",
     .op_class = OpClass::kComposite,
     .min_operands = 4,
     .max_operands = 4,
     .attrs = kLoraAttrs,
     .infer = InferLoraMatMul,
     .evaluate = EvaluateLoraMatMul,
     .decompose = DecomposeLoraMatMul,
     .sample = SampleLoraMatMul,
     .doc = "(x [..,k], w [k,n], a [k,r], b [r,n]): x·w + scale·(x·a)·b"},
    {.kind = OpKind::kGroupedMatMul,
     .name = "grouped_matmul",
     .claim = "GroupedMatMul",
     .op_class = OpClass::kComposite,
     .min_operands = 3,
     .max_operands = 3,
     .checks = kExpertChecks,
     .infer = InferGroupedMatMul,
     .evaluate = EvaluateGroupedMatMul,
     .decompose = DecomposeGroupedMatMul,
     .sample = SampleGroupedMatMul,
     .doc = "(x [m,k], w [e,k,n], expert [m]): out[i] = x[i]·w[expert[i]]; experts are integers"},
    {.kind = OpKind::kScatterAdd,
     .name = "scatter_add",
     .claim = "ScatterAdd",
     .op_class = OpClass::kReduction,
     .min_operands = 2,
     .max_operands = 2,
     .attrs = kScatterAttrs,
     .checks = kScatterChecks,
     .infer = InferScatterAdd,
     .evaluate = EvaluateScatterAdd,
     .decompose = DecomposeScatterAdd,
     .sample = SampleScatterAdd,
     .doc = "(updates [u,..], indices [u]): out [rows,..] is zero, then out[indices[i]] += "
            "updates[i]; equal indices add up in order; integers wrap"},
};

}  // namespace

std::span<const OpInfo> GroupedOps() { return kTable; }

}  // namespace rlx
