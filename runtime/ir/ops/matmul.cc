// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/ops/matmul.h"

#include <algorithm>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

using Ints = std::vector<int64_t>;

// Integers are summed modulo 2^64, and brought to their type at the end.
double MulAdd(double sum, double a, double b) { return sum + a * b; }
int64_t MulAdd(int64_t sum, int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(sum) +
                              static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}

void WrapInts(EvalTensor& out) {
  for (int64_t& value : out.i) value = WrapToInt(out.dtype, value);
}

// Products are exact or in double: narrower integers would need a wider result type.
absl::Status RequireProductType(const TensorType& a, const TensorType& b) {
  if (a.dtype != b.dtype) return InvalidArgument("dtype differs (", a.dtype, " vs ", b.dtype, ")");
  if (IsFloat(a.dtype) || (IsInteger(a.dtype) && ByteWidth(a.dtype) >= 4)) return absl::OkStatus();
  return InvalidArgument("dtype ", a.dtype, " is neither a float nor an integer of 32 or 64 bits");
}

template <class T>
void MatMulLoops(const std::vector<T>& a, const Ints& a_dims, const std::vector<T>& b,
                 const Ints& b_dims, std::vector<T>& out, const Ints& out_dims) {
  const int64_t m = out_dims[out_dims.size() - 2], n = out_dims.back(), k = a_dims.back();
  auto batch_of = [](const Ints& dims) { return Ints(dims.begin(), dims.end() - 2); };
  const Ints a_batch = batch_of(a_dims), b_batch = batch_of(b_dims), batch = batch_of(out_dims);
  Ints index(batch.size(), 0);
  T* row = out.data();
  do {
    const T* x = a.data() + BroadcastOffset(index, a_batch) * m * k;
    const T* w = b.data() + BroadcastOffset(index, b_batch) * k * n;
    for (int64_t i = 0; i < m; ++i, row += n) {
      for (int64_t p = 0; p < k; ++p) {
        for (int64_t j = 0; j < n; ++j) row[j] = MulAdd(row[j], x[i * k + p], w[p * n + j]);
      }
    }
  } while (NextIndex(index, batch));
}

absl::Status InferMatMul(InferContext& ctx) {
  RLX_ASSIGN(TensorType type, MatMulType(ctx, ctx.operands[0], ctx.operands[1]));
  ctx.results = {std::move(type)};
  return absl::OkStatus();
}

absl::Status EvaluateMatMul(EvalContext& ctx) {
  MatMulInto(*ctx.operands[0], *ctx.operands[1], ctx.results[0]);
  return absl::OkStatus();
}

OpSample SampleMatMul(Rng& rng) {
  const int64_t m = Draw(rng, 1, 19), k = Draw(rng, 1, 35), n = Draw(rng, 1, 21);
  const int64_t b0 = Draw(rng, 1, 3), b1 = Draw(rng, 1, 4);
  switch (Draw(rng, 0, 4)) {
    case 0:
      return {{FloatOperand({m, k}), FloatOperand({k, n})}, {}};
    case 1:
      return {{FloatOperand({b0, m, k}), FloatOperand({k, n})}, {}};
    case 2:
      return {{FloatOperand({m, k}), FloatOperand({b0, k, n})}, {}};
    case 3:
      return {{FloatOperand({b0, 1, m, k}), FloatOperand({b1, k, n})}, {}};
    default:
      return {{FloatOperand({b0, b1, m, k}), FloatOperand({b0, b1, k, n})}, {}};
  }
}

// The four axis lists of dot_general and what they leave free.
struct Axes {
  Ints lhs_contracting, rhs_contracting, lhs_batch, rhs_batch, lhs_free, rhs_free;
};

Ints FreeAxes(int rank, const Ints& batch, const Ints& contracting) {
  Ints free;
  for (int64_t axis = 0; axis < rank; ++axis) {
    if (std::ranges::count(batch, axis) + std::ranges::count(contracting, axis) == 0) {
      free.push_back(axis);
    }
  }
  return free;
}

Axes ReadAxes(const Node& node, int lhs_rank, int rhs_rank) {
  Axes axes{node.Ints("lhs_contracting"),
            node.Ints("rhs_contracting"),
            node.Ints("lhs_batch"),
            node.Ints("rhs_batch"),
            {},
            {}};
  axes.lhs_free = FreeAxes(lhs_rank, axes.lhs_batch, axes.lhs_contracting);
  axes.rhs_free = FreeAxes(rhs_rank, axes.rhs_batch, axes.rhs_contracting);
  return axes;
}

// Every axis lies within the rank and is named once.
absl::Status CheckAxes(std::string_view side, int rank, const Ints& batch,
                       const Ints& contracting) {
  std::vector<bool> seen(rank, false);
  for (const Ints* list : {&batch, &contracting}) {
    for (int64_t axis : *list) {
      if (axis >= rank) return InvalidArgument(side, " axis ", axis, " is outside rank ", rank);
      if (seen[axis]) return InvalidArgument(side, " axis ", axis, " is named twice");
      seen[axis] = true;
    }
  }
  return absl::OkStatus();
}

absl::Status PairAxes(InferContext& ctx, const Ints& lhs, const Ints& rhs, std::string_view what) {
  if (lhs.size() != rhs.size()) {
    return InvalidArgument("lhs_", what, " names ", lhs.size(), " axes and rhs_", what, " ",
                           rhs.size());
  }
  for (size_t i = 0; i < lhs.size(); ++i) {
    RLX_TRY(RequireEqual(ctx, ctx.operands[0].shape[lhs[i]], ctx.operands[1].shape[rhs[i]], what));
  }
  return absl::OkStatus();
}

absl::Status InferDotGeneral(InferContext& ctx) {
  const TensorType &lhs = ctx.operands[0], &rhs = ctx.operands[1];
  const Axes axes = ReadAxes(ctx.node, lhs.rank(), rhs.rank());
  RLX_TRY(RequireProductType(lhs, rhs));
  RLX_TRY(CheckAxes("lhs", lhs.rank(), axes.lhs_batch, axes.lhs_contracting));
  RLX_TRY(CheckAxes("rhs", rhs.rank(), axes.rhs_batch, axes.rhs_contracting));
  RLX_TRY(PairAxes(ctx, axes.lhs_batch, axes.rhs_batch, "batch"));
  RLX_TRY(PairAxes(ctx, axes.lhs_contracting, axes.rhs_contracting, "contracting"));
  TensorType out{lhs.dtype, {}};
  for (int64_t axis : axes.lhs_batch) out.shape.push_back(lhs.shape[axis]);
  for (int64_t axis : axes.lhs_free) out.shape.push_back(lhs.shape[axis]);
  for (int64_t axis : axes.rhs_free) out.shape.push_back(rhs.shape[axis]);
  ctx.results = {std::move(out)};
  return absl::OkStatus();
}

Ints Select(const Ints& from, const Ints& axes) {
  Ints out;
  for (int64_t axis : axes) out.push_back(from[axis]);
  return out;
}

int64_t Dot(const Ints& index, const Ints& strides) {
  int64_t sum = 0;
  for (size_t i = 0; i < index.size(); ++i) sum += index[i] * strides[i];
  return sum;
}

template <class T>
void DotGeneralLoops(const Axes& axes, const std::vector<T>& a, const Ints& a_dims,
                     const std::vector<T>& b, const Ints& b_dims, std::vector<T>& out) {
  const Ints a_strides = RowMajorStrides(a_dims), b_strides = RowMajorStrides(b_dims);
  const Ints batch = Select(a_dims, axes.lhs_batch), inner = Select(a_dims, axes.lhs_contracting);
  const Ints rows = Select(a_dims, axes.lhs_free), columns = Select(b_dims, axes.rhs_free);
  Ints i_batch(batch.size()), i_row(rows.size()), i_column(columns.size()), i_inner(inner.size());
  size_t at = 0;
  do {
    do {
      do {
        const int64_t a0 = Dot(i_batch, Select(a_strides, axes.lhs_batch)) +
                           Dot(i_row, Select(a_strides, axes.lhs_free));
        const int64_t b0 = Dot(i_batch, Select(b_strides, axes.rhs_batch)) +
                           Dot(i_column, Select(b_strides, axes.rhs_free));
        T sum = 0;
        do {
          sum = MulAdd(sum, a[a0 + Dot(i_inner, Select(a_strides, axes.lhs_contracting))],
                       b[b0 + Dot(i_inner, Select(b_strides, axes.rhs_contracting))]);
        } while (NextIndex(i_inner, inner));
        out[at++] = sum;
      } while (NextIndex(i_column, columns));
    } while (NextIndex(i_row, rows));
  } while (NextIndex(i_batch, batch));
}

absl::Status EvaluateDotGeneral(EvalContext& ctx) {
  const EvalTensor &a = *ctx.operands[0], &b = *ctx.operands[1];
  EvalTensor& out = ctx.results[0];
  const Axes axes =
      ReadAxes(ctx.node, static_cast<int>(a.dims.size()), static_cast<int>(b.dims.size()));
  if (IsExact(a.dtype)) {
    DotGeneralLoops(axes, a.i, a.dims, b.i, b.dims, out.i);
    WrapInts(out);
  } else {
    DotGeneralLoops(axes, a.f, a.dims, b.f, b.dims, out.f);
  }
  return absl::OkStatus();
}

Dim ProductOf(const Shape& shape, const Ints& axes) {
  Dim product = 1;
  for (int64_t axis : axes) product = product * shape[axis];
  return product;
}

// Moves the three groups of axes next to each other and folds each to one dim.
Value FoldTo3(GraphBuilder& b, Value x, const Ints& first, const Ints& second, const Ints& third) {
  const Shape shape = b.type(x).shape;
  Ints perm = first;
  perm.insert(perm.end(), second.begin(), second.end());
  perm.insert(perm.end(), third.begin(), third.end());
  if (!std::ranges::is_sorted(perm)) x = b.Transpose(x, perm);
  return b.Reshape(x, {ProductOf(shape, first), ProductOf(shape, second), ProductOf(shape, third)});
}

// Transpose and fold each side to [batch, free, contracting] and [batch, contracting, free].
absl::StatusOr<std::vector<Value>> DecomposeDotGeneral(GraphBuilder& b, const Node& node) {
  RLX_TRY(b.status());
  const Value lhs = node.operands[0], rhs = node.operands[1];
  const Axes axes = ReadAxes(node, b.type(lhs).rank(), b.type(rhs).rank());
  const Value x = FoldTo3(b, lhs, axes.lhs_batch, axes.lhs_free, axes.lhs_contracting);
  const Value w = FoldTo3(b, rhs, axes.rhs_batch, axes.rhs_contracting, axes.rhs_free);
  return Lowered(b, {b.Reshape(b.MatMul(x, w), node.results[0].shape)});
}

OpSample SampleDotGeneral(Rng& rng) {
  const int64_t p = Draw(rng, 1, 3), m = Draw(rng, 1, 5), k = Draw(rng, 1, 6), n = Draw(rng, 1, 7),
                j = Draw(rng, 1, 4);
  auto sample = [](Shape a, Shape b, Ints lc, Ints rc, Ints lb, Ints rb) {
    return OpSample{{FloatOperand(std::move(a)), FloatOperand(std::move(b))},
                    {{"lhs_contracting", std::move(lc)},
                     {"rhs_contracting", std::move(rc)},
                     {"lhs_batch", std::move(lb)},
                     {"rhs_batch", std::move(rb)}}};
  };
  switch (Draw(rng, 0, 4)) {
    case 0:
      return sample({m, k}, {k, n}, {1}, {0}, {}, {});
    case 1:
      return sample({k, m}, {n, k}, {0}, {1}, {}, {});
    case 2:
      return sample({m, p, k}, {n, k, p}, {2}, {1}, {1}, {2});
    case 3:
      return sample({k, m, j}, {j, n, k}, {0, 2}, {2, 0}, {}, {});
    default:
      return sample({p, m}, {p, n, j}, {}, {}, {0}, {0});
  }
}

constexpr AttrSpec kDotGeneralAttrs[] = {
    {.name = "lhs_contracting", .type = AttrType::kInts, .min = 0, .doc = "summed axes of lhs"},
    {.name = "rhs_contracting", .type = AttrType::kInts, .min = 0, .doc = "their partners in rhs"},
    {.name = "lhs_batch", .type = AttrType::kInts, .min = 0, .doc = "axes of lhs kept in step"},
    {.name = "rhs_batch", .type = AttrType::kInts, .min = 0, .doc = "their partners in rhs"},
};

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kMatMul,
     .name = "matmul",
     .claim = "MatMul",
     .op_class = OpClass::kContraction,
     .min_operands = 2,
     .max_operands = 2,
     .infer = InferMatMul,
     .evaluate = EvaluateMatMul,
     .sample = SampleMatMul,
     .doc = "(a, b): out[..,m,n] = Σ_k a[..,m,k]·b[..,k,n]; leading dims broadcast, rank at "
            "least 2"},
    {.kind = OpKind::kDotGeneral,
     .name = "dot_general",
     .claim = "DotGeneral",
     .op_class = OpClass::kContraction,
     .min_operands = 2,
     .max_operands = 2,
     .attrs = kDotGeneralAttrs,
     .infer = InferDotGeneral,
     .evaluate = EvaluateDotGeneral,
     .decompose = DecomposeDotGeneral,
     .sample = SampleDotGeneral,
     .doc = "(lhs, rhs): the sum over paired contracting axes for each pairing of batch axes; out "
            "dims are batch, lhs free, rhs free"},
};

}  // namespace

absl::StatusOr<TensorType> MatMulType(InferContext& ctx, const TensorType& a, const TensorType& b) {
  if (a.rank() < 2 || b.rank() < 2) {
    return InvalidArgument("ranks are ", a.rank(), " and ", b.rank(),
                           " where 2 or more are needed");
  }
  RLX_TRY(RequireProductType(a, b));
  RLX_TRY(RequireEqual(ctx, a.shape.back(), b.shape[b.rank() - 2], "k"));
  const Shape a_batch(a.shape.begin(), a.shape.end() - 2);
  const Shape b_batch(b.shape.begin(), b.shape.end() - 2);
  absl::StatusOr<Shape> shape = Broadcast(a_batch, b_batch, ctx.constraints);
  if (!shape.ok()) return Annotate(shape.status(), "batch dims");
  shape->push_back(a.shape[a.rank() - 2]);
  shape->push_back(b.shape.back());
  return TensorType{a.dtype, *std::move(shape)};
}

void MatMulInto(const EvalTensor& a, const EvalTensor& b, EvalTensor& out) {
  if (IsExact(a.dtype)) {
    MatMulLoops(a.i, a.dims, b.i, b.dims, out.i, out.dims);
    WrapInts(out);
  } else {
    MatMulLoops(a.f, a.dims, b.f, b.dims, out.f, out.dims);
  }
}

std::span<const OpInfo> MatMulOps() { return kTable; }

}  // namespace rlx
