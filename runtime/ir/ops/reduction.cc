// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/base/status.h"
#include "runtime/ir/ops/elementwise.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/reduction.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

using Ints = std::vector<int64_t>;

int64_t WrapAdd(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
int64_t WrapMul(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}

// --- Reductions: start from kStart, fold with (), for floats and integers
// ----------------------------

struct Sum {
  static constexpr double kStart = 0;
  static constexpr int64_t kIntStart = 0;
  double operator()(double a, double b) const { return a + b; }
  int64_t operator()(int64_t a, int64_t b) const { return WrapAdd(a, b); }
};
struct Prod {
  static constexpr double kStart = 1;
  static constexpr int64_t kIntStart = 1;
  double operator()(double a, double b) const { return a * b; }
  int64_t operator()(int64_t a, int64_t b) const { return WrapMul(a, b); }
};
struct Greatest {
  static constexpr double kStart = -INFINITY;
  static constexpr int64_t kIntStart = INT64_MIN;
  double operator()(double a, double b) const { return std::isnan(a) || a > b ? a : b; }
  int64_t operator()(int64_t a, int64_t b) const { return std::max(a, b); }
};
struct Least {
  static constexpr double kStart = INFINITY;
  static constexpr int64_t kIntStart = INT64_MAX;
  double operator()(double a, double b) const { return std::isnan(a) || a < b ? a : b; }
  int64_t operator()(int64_t a, int64_t b) const { return std::min(a, b); }
};

bool Contains(const Ints& axes, int64_t axis) {
  return std::find(axes.begin(), axes.end(), axis) != axes.end();
}

absl::Status InferReduce(InferContext& ctx) {
  RLX_TRY(RequireReal(ctx, 0));
  const TensorType& x = ctx.operands[0];
  const Ints& axes = ctx.node.Ints("axes");
  Shape shape;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (!Contains(axes, axis))
      shape.push_back(x.shape[axis]);
    else if (ctx.node.Bool("keep_dims"))
      shape.push_back(1);
  }
  ctx.results = {{x.dtype, std::move(shape)}};
  return absl::OkStatus();
}

absl::Status InferMean(InferContext& ctx) {
  RLX_TRY(RequireFloats(ctx, 1));
  return InferReduce(ctx);
}

// How far a step along each axis of x moves in the result: not at all along a reduced one.
Ints ResultStrides(const Ints& dims, const Ints& axes) {
  Ints strides(dims.size());
  int64_t stride = 1;
  for (size_t axis = dims.size(); axis-- > 0;) {
    if (Contains(axes, static_cast<int64_t>(axis))) continue;
    strides[axis] = stride;
    stride *= dims[axis];
  }
  return strides;
}

template <class Fold>
absl::Status EvaluateReduce(EvalContext& ctx) {
  const EvalTensor& x = *ctx.operands[0];
  EvalTensor& out = ctx.results[0];
  const Ints strides = ResultStrides(x.dims, ctx.node.Ints("axes"));
  std::fill(out.f.begin(), out.f.end(), Fold::kStart);
  std::fill(out.i.begin(), out.i.end(), Fold::kIntStart);
  Ints index(x.dims.size());
  int64_t k = 0;
  do {
    const int64_t at = std::inner_product(index.begin(), index.end(), strides.begin(), int64_t{0});
    if (IsExact(x.dtype))
      out.i[at] = WrapToInt(x.dtype, Fold{}(out.i[at], x.i[k]));
    else
      out.f[at] = Fold{}(out.f[at], x.f[k]);
    ++k;
  } while (NextIndex(index, x.dims));
  return absl::OkStatus();
}

absl::Status EvaluateMean(EvalContext& ctx) {
  RLX_TRY(EvaluateReduce<Sum>(ctx));
  const int64_t folded = ctx.operands[0]->size() / ctx.results[0].size();
  for (double& value : ctx.results[0].f) value /= static_cast<double>(folded);
  return absl::OkStatus();
}

OpSample SampleReduce(Rng& rng) {
  const Shape shape = DrawShape(rng, 1, 4);
  Ints axes;
  const int64_t rank = static_cast<int64_t>(shape.size());
  for (int64_t axis = 0; axis < rank; ++axis)
    if (Flip(rng)) axes.push_back(Flip(rng) ? axis : axis - rank);
  return {{FloatOperand(shape, -1.5, 1.5)}, {{"axes", std::move(axes)}, {"keep_dims", Flip(rng)}}};
}

// --- Cumsum
// -----------------------------------------------------------------------------------------

absl::Status InferCumsum(InferContext& ctx) {
  RLX_TRY(RequireReal(ctx, 0));
  ctx.results = {ctx.operands[0]};
  return absl::OkStatus();
}

// Calls fn(first) with the first element of every line along `axis`.
template <class Fn>
void ForEachLine(const Ints& dims, size_t axis, Fn&& fn) {
  const int64_t inner = Product(dims, axis + 1), outer = Product(dims, 0, axis);
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t n = 0; n < inner; ++n) fn(o * dims[axis] * inner + n);
}

template <class T, class Plus>
void Accumulate(const std::vector<T>& x, std::vector<T>& out, const Ints& dims, size_t axis,
                bool exclusive, Plus plus) {
  const int64_t step = Product(dims, axis + 1);
  ForEachLine(dims, axis, [&](int64_t first) {
    T sum = 0;
    for (int64_t j = 0; j < dims[axis]; ++j) {
      const int64_t at = first + j * step;
      const T next = plus(sum, x[at]);
      out[at] = exclusive ? sum : next;
      sum = next;
    }
  });
}

absl::Status EvaluateCumsum(EvalContext& ctx) {
  const EvalTensor& x = *ctx.operands[0];
  EvalTensor& out = ctx.results[0];
  const auto axis = static_cast<size_t>(ctx.node.Int("axis"));
  const bool exclusive = ctx.node.Bool("exclusive");
  if (IsExact(x.dtype)) {
    Accumulate(x.i, out.i, x.dims, axis, exclusive,
               [&](int64_t a, int64_t b) { return WrapToInt(x.dtype, WrapAdd(a, b)); });
  } else {
    Accumulate(x.f, out.f, x.dims, axis, exclusive, [](double a, double b) { return a + b; });
  }
  return absl::OkStatus();
}

OpSample SampleCumsum(Rng& rng) {
  const Shape shape = DrawShape(rng, 1, 4);
  const int64_t rank = static_cast<int64_t>(shape.size());
  return {{FloatOperand(shape)}, {{"axis", Draw(rng, -rank, rank - 1)}, {"exclusive", Flip(rng)}}};
}

// --- TopK
// -------------------------------------------------------------------------------------------

absl::Status InferTopK(InferContext& ctx) {
  RLX_TRY(RequireReal(ctx, 0));
  TensorType values = ctx.operands[0];
  const Dim k = ctx.node.Int("k");
  Dim& dim = values.shape[ctx.node.Int("axis")];
  if (!RequireEqual(Max(dim, k), dim, ctx.constraints))  // k ≤ dim
    return InvalidArgument("k is ", k, " of extent ", dim);
  dim = k;
  ctx.results = {values, {DType::kI64, values.shape}};
  return absl::OkStatus();
}

// Whether the element at `a` comes before that at `b`: the greater, NaN first, and of equal ones
// the first.
bool Before(const EvalTensor& x, int64_t a, int64_t b) {
  if (IsExact(x.dtype)) return x.i[a] != x.i[b] ? x.i[a] > x.i[b] : a < b;
  const bool a_nan = std::isnan(x.f[a]), b_nan = std::isnan(x.f[b]);
  if (a_nan != b_nan) return a_nan;
  return !a_nan && x.f[a] != x.f[b] ? x.f[a] > x.f[b] : a < b;
}

absl::Status EvaluateTopK(EvalContext& ctx) {
  const EvalTensor& x = *ctx.operands[0];
  EvalTensor &values = ctx.results[0], &indices = ctx.results[1];
  const auto axis = static_cast<size_t>(ctx.node.Int("axis"));
  const int64_t k = ctx.node.Int("k"), step = Product(x.dims, axis + 1);
  ForEachLine(x.dims, axis, [&](int64_t first) {
    Ints line;
    for (int64_t j = 0; j < x.dims[axis]; ++j) line.push_back(first + j * step);
    std::sort(line.begin(), line.end(), [&](int64_t a, int64_t b) { return Before(x, a, b); });
    const int64_t inner = first % step, outer = first / (step * x.dims[axis]);
    for (int64_t j = 0; j < k; ++j) {
      const int64_t at = (outer * k + j) * step + inner;
      CopyElement(x, line[j], values, at);
      indices.i[at] = (line[j] - first) / step;
    }
  });
  return absl::OkStatus();
}

OpSample SampleTopK(Rng& rng) {
  const Shape shape = DrawShape(rng, 1, 3);
  const int64_t axis = Draw(rng, 0, static_cast<int64_t>(shape.size()) - 1);
  return {{FloatOperand(shape)}, {{"k", Draw(rng, 1, shape[axis].value())}, {"axis", axis}}};
}

// --- Rows
// -------------------------------------------------------------------------------------------

constexpr AttrSpec kReduceAttrs[] = {
    {.name = "axes",
     .type = AttrType::kInts,
     .axis = AxisRule::kAxisSet,
     .doc = "the axes folded; none given: all"},
    {.name = "keep_dims",
     .type = AttrType::kBool,
     .required = false,
     .fallback = false,
     .doc = "leave extent 1 where an axis was"},
};
constexpr AttrSpec kCumsumAttrs[] = {
    {.name = "axis",
     .type = AttrType::kInt,
     .axis = AxisRule::kAxis,
     .doc = "the axis summed along"},
    {.name = "exclusive",
     .type = AttrType::kBool,
     .required = false,
     .fallback = false,
     .doc = "leave out the element itself"},
};
constexpr AttrSpec kTopKAttrs[] = {
    {.name = "k", .type = AttrType::kInt, .min = 1, .doc = "how many"},
    {.name = "axis",
     .type = AttrType::kInt,
     .required = false,
     .fallback = int64_t{-1},
     .axis = AxisRule::kAxis,
     .doc = "the axis searched"},
};

using InferFn = absl::Status (*)(InferContext&);
using EvaluateFn = absl::Status (*)(EvalContext&);

constexpr OpInfo Row(OpKind kind, std::string_view name, std::string_view claim,
                     std::span<const AttrSpec> attrs, InferFn infer, EvaluateFn evaluate,
                     OpSample (*sample)(Rng&), std::string_view doc, int results = 1) {
  return {.kind = kind,
          .name = name,
          .claim = claim,
          .op_class = OpClass::kReduction,
          .min_operands = 1,
          .max_operands = 1,
          .results = results,
          .attrs = attrs,
          .infer = infer,
          .evaluate = evaluate,
          .sample = sample,
          .doc = doc};
}

constexpr OpInfo Cumsum() {
  OpInfo row =
      Row(OpKind::kCumsum, "cumsum", "Cumsum", kCumsumAttrs, InferCumsum, EvaluateCumsum,
          SampleCumsum, "(x): along `axis` the sum of all elements up to each; integers wrap");
  row.decompose = DecomposeCumsum;
  return row;
}

constexpr OpInfo Reduce(OpKind kind, std::string_view name, InferFn infer, EvaluateFn evaluate,
                        std::string_view doc) {
  return Row(kind, name, "Reduce", kReduceAttrs, infer, evaluate, SampleReduce, doc);
}

constexpr OpInfo kTable[] = {
    Reduce(OpKind::kReduceSum, "reduce_sum", InferReduce, EvaluateReduce<Sum>,
           "(x): the sum over `axes`; integers wrap"),
    Reduce(OpKind::kReduceMean, "reduce_mean", InferMean, EvaluateMean,
           "(x): the mean over `axes`; floats"),
    Reduce(OpKind::kReduceMax, "reduce_max", InferReduce, EvaluateReduce<Greatest>,
           "(x): the greatest over `axes`, NaN if any is"),
    Reduce(OpKind::kReduceMin, "reduce_min", InferReduce, EvaluateReduce<Least>,
           "(x): the least over `axes`, NaN if any is"),
    Reduce(OpKind::kReduceProd, "reduce_prod", InferReduce, EvaluateReduce<Prod>,
           "(x): the product over `axes`; integers wrap"),
    Cumsum(),
    Row(OpKind::kTopK, "topk", "TopK", kTopKAttrs, InferTopK, EvaluateTopK, SampleTopK,
        "(x): the k greatest along `axis` in falling order, and their positions (i64); of equal "
        "ones "
        "the first comes first",
        2),
};

}  // namespace

std::span<const OpInfo> ReductionOps() { return kTable; }

}  // namespace rlx
