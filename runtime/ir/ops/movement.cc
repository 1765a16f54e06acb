// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/base/status.h"
#include "runtime/ir/ops/elementwise.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

using Ints = std::vector<int64_t>;

const Dim kRest = -1;  // in a Shape attribute: whatever is left

Dim Elements(const Shape& shape) {
  Dim product = 1;
  for (const Dim& dim : shape) product = product * dim;
  return product;
}

// out[k] = x[offset + Σ index·strides] for every index of `out`, in order.
void CopyStrided(const EvalTensor& x, int64_t offset, const Ints& strides, EvalTensor& out) {
  Ints index(out.dims.size());
  int64_t k = 0;
  do {
    int64_t at = offset;
    for (size_t axis = 0; axis < index.size(); ++axis) at += index[axis] * strides[axis];
    CopyElement(x, at, out, k++);
  } while (NextIndex(index, out.dims));
}

// --- Reshape
// ----------------------------------------------------------------------------------------

absl::Status InferReshape(InferContext& ctx) {
  const TensorType& x = ctx.operands[0];
  Shape shape = ctx.node.Dims("shape");
  const auto open = std::count(shape.begin(), shape.end(), kRest);
  if (open > 1) return InvalidArgument("shape ", ToString(shape), " has more than one -1");
  for (const Dim& dim : shape)
    if (dim.is_static() && dim != kRest && dim.value() < 1)
      return InvalidArgument("shape ", ToString(shape), " has extent ", dim);
  const Dim total = Elements(x.shape);
  if (open == 1) {
    Dim& rest = *std::find(shape.begin(), shape.end(), kRest);
    rest = 1;
    rest = FloorDiv(total, Elements(shape));
  }
  if (!RequireEqual(total, Elements(shape), ctx.constraints))
    return InvalidArgument(x, " has ", total, " elements, shape ", ToString(ctx.node.Dims("shape")),
                           " holds ", Elements(shape));
  ctx.results = {{x.dtype, std::move(shape)}};
  return absl::OkStatus();
}

absl::Status EvaluateReshape(EvalContext& ctx) {
  const EvalTensor& x = *ctx.operands[0];
  if (x.size() != ctx.results[0].size())
    return InvalidArgument("element counts differ (", x.size(), " vs ", ctx.results[0].size(), ")");
  ctx.results[0].f = x.f;
  ctx.results[0].i = x.i;
  return absl::OkStatus();
}

OpSample SampleReshape(Rng& rng) {
  const int64_t a = Draw(rng, 1, 6), b = Draw(rng, 1, 8), c = Draw(rng, 1, 12);
  const DType dtype = DrawAny(rng);
  const OpSample::Operand x = AnyOperand(dtype, {a, b, c});
  switch (Draw(rng, 0, 4)) {
    case 0:
      return {{x}, {{"shape", Shape{a * b, c}}}};
    case 1:
      return {{x}, {{"shape", Shape{a, -1}}}};
    case 2:
      return {{x}, {{"shape", Shape{-1}}}};
    case 3:
      return {{x}, {{"shape", Shape{c, 1, a, b}}}};
    default:
      return {{AnyOperand(dtype, {1, 1})}, {{"shape", Shape{}}}};
  }
}

// --- Transpose
// --------------------------------------------------------------------------------------

absl::Status InferTranspose(InferContext& ctx) {
  const TensorType& x = ctx.operands[0];
  const Ints& perm = ctx.node.Ints("perm");
  std::vector<bool> seen(perm.size());
  if (static_cast<int>(perm.size()) != x.rank())
    return InvalidArgument("perm names ", perm.size(), " axes of rank ", x.rank());
  Shape shape;
  for (int64_t axis : perm) {
    if (seen[axis]) return InvalidArgument("perm names axis ", axis, " twice");
    seen[axis] = true;
    shape.push_back(x.shape[axis]);
  }
  ctx.results = {{x.dtype, std::move(shape)}};
  return absl::OkStatus();
}

absl::Status EvaluateTranspose(EvalContext& ctx) {
  const Ints own = RowMajorStrides(ctx.operands[0]->dims);
  Ints strides;
  for (int64_t axis : ctx.node.Ints("perm")) strides.push_back(own[axis]);
  CopyStrided(*ctx.operands[0], 0, strides, ctx.results[0]);
  return absl::OkStatus();
}

OpSample SampleTranspose(Rng& rng) {
  const Shape shape = DrawShape(rng, 1, 4);
  Ints perm(shape.size());
  for (size_t axis = 0; axis < perm.size(); ++axis) {
    perm[axis] = static_cast<int64_t>(axis);
    std::swap(perm[axis], perm[Draw(rng, 0, static_cast<int64_t>(axis))]);
  }
  return {{AnyOperand(DrawAny(rng), shape)}, {{"perm", std::move(perm)}}};
}

// --- Narrow
// -----------------------------------------------------------------------------------------

absl::Status InferNarrow(InferContext& ctx) {
  TensorType result = ctx.operands[0];
  const int64_t start = ctx.node.Int("start"), length = ctx.node.Int("length");
  Dim& dim = result.shape[ctx.node.Int("axis")];
  const Dim end = Dim(start) + length;
  // end ≤ dim
  if (!RequireEqual(Max(dim, end), dim, ctx.constraints))
    return InvalidArgument("elements ", start, " to ", end, " exceed extent ", dim);
  dim = length;
  ctx.results = {std::move(result)};
  return absl::OkStatus();
}

absl::Status EvaluateNarrow(EvalContext& ctx) {
  const EvalTensor& x = *ctx.operands[0];
  const Ints strides = RowMajorStrides(x.dims);
  const int64_t axis = ctx.node.Int("axis"), start = ctx.node.Int("start");
  CopyStrided(x, start * strides[axis], strides, ctx.results[0]);
  return absl::OkStatus();
}

OpSample SampleNarrow(Rng& rng) {
  const Shape shape = DrawShape(rng, 1, 4);
  const int64_t rank = static_cast<int64_t>(shape.size());
  const int64_t axis = Draw(rng, 0, rank - 1), extent = shape[axis].value();
  const int64_t start = Draw(rng, 0, extent - 1), length = Draw(rng, 1, extent - start);
  const int64_t written = Flip(rng) ? axis : axis - rank;
  return {{AnyOperand(DrawAny(rng), shape)},
          {{"axis", written}, {"start", start}, {"length", length}}};
}

// --- Concat
// -----------------------------------------------------------------------------------------

absl::Status InferConcat(InferContext& ctx) {
  TensorType result = ctx.operands[0];
  const int64_t axis = ctx.node.Int("axis");
  for (size_t i = 1; i < ctx.operands.size(); ++i) {
    const TensorType& part = ctx.operands[i];
    RLX_TRY(RequireSameDType(ctx, 0, static_cast<int>(i)));
    if (part.rank() != result.rank())
      return InvalidArgument("operand ", i, " has rank ", part.rank(), ", operand 0 rank ",
                             result.rank());
    for (int d = 0; d < result.rank(); ++d) {
      if (d == axis)
        result.shape[d] = result.shape[d] + part.shape[d];
      else if (!RequireEqual(result.shape[d], part.shape[d], ctx.constraints))
        return InvalidArgument("operand ", i, " is ", part, ", which differs from ",
                               ctx.operands[0], " beside axis ", axis);
    }
  }
  ctx.results = {std::move(result)};
  return absl::OkStatus();
}

absl::Status EvaluateConcat(EvalContext& ctx) {
  EvalTensor& out = ctx.results[0];
  const int64_t axis = ctx.node.Int("axis");
  const Ints strides = RowMajorStrides(out.dims);
  int64_t offset = 0;
  for (const EvalTensor* part : ctx.operands) {
    Ints index(part->dims.size());
    int64_t k = 0;
    do {
      int64_t at = offset;
      for (size_t d = 0; d < index.size(); ++d) at += index[d] * strides[d];
      CopyElement(*part, k++, out, at);
    } while (NextIndex(index, part->dims));
    offset += part->dims[axis] * strides[axis];
  }
  return absl::OkStatus();
}

OpSample SampleConcat(Rng& rng) {
  Shape shape = DrawShape(rng, 1, 4);
  const int64_t axis = Draw(rng, 0, static_cast<int64_t>(shape.size()) - 1);
  const DType dtype = DrawAny(rng);
  OpSample sample;
  for (int64_t parts = Draw(rng, 1, 4); parts > 0; --parts) {
    shape[axis] = Draw(rng, 1, 9);
    sample.operands.push_back(AnyOperand(dtype, shape));
  }
  sample.attrs = {{"axis", axis}};
  return sample;
}

// --- Expand
// -----------------------------------------------------------------------------------------

absl::Status InferExpand(InferContext& ctx) {
  const TensorType& x = ctx.operands[0];
  Shape shape = ctx.node.Dims("shape");
  const auto misfit = [&] {
    return InvalidArgument(x, " does not broadcast to ", ToString(ctx.node.Dims("shape")));
  };
  if (x.shape.size() > shape.size()) return misfit();
  const size_t skip = shape.size() - x.shape.size();
  for (size_t d = 0; d < x.shape.size(); ++d) {
    if (shape[skip + d] == kRest) shape[skip + d] = x.shape[d];
    if (x.shape[d] != Dim(1) && !RequireEqual(x.shape[d], shape[skip + d], ctx.constraints))
      return misfit();
  }
  ctx.results = {{x.dtype, std::move(shape)}};
  return absl::OkStatus();
}

absl::Status EvaluateExpand(EvalContext& ctx) {
  ForEachBroadcast(ctx.results[0], ctx.operands, [&](int64_t k, const Ints& at) {
    CopyElement(*ctx.operands[0], at[0], ctx.results[0], k);
  });
  return absl::OkStatus();
}

OpSample SampleExpand(Rng& rng) {
  const Shape shape = DrawShape(rng, 0, 4);
  return {{AnyOperand(DrawAny(rng), DrawBroadcastable(rng, shape))}, {{"shape", shape}}};
}

// --- Gather
// -----------------------------------------------------------------------------------------

absl::Status InferGather(InferContext& ctx) {
  RLX_TRY(RequireIndices(ctx, 1));
  if (ctx.operands.size() > 2 && ctx.operands[2] != TensorType{DType::kI64, {}})
    return InvalidArgument("extent is ", ctx.operands[2], " where i64[] is needed");
  const Shape &table = ctx.operands[0].shape, &indices = ctx.operands[1].shape;
  const auto axis = table.begin() + ctx.node.Int("axis");
  Shape shape(table.begin(), axis);
  shape.insert(shape.end(), indices.begin(), indices.end());
  shape.insert(shape.end(), axis + 1, table.end());
  ctx.results = {{ctx.operands[0].dtype, std::move(shape)}};
  return absl::OkStatus();
}

// In front of a message: whose index it is, where that is not the gather's own.
std::string IndexOwner(const Node& node) {
  const AttrValue* of = node.Find("of");
  return of == nullptr ? "" : Cat(std::get<std::string>(*of), " ");
}

absl::Status EvaluateGather(EvalContext& ctx) {
  const EvalTensor &table = *ctx.operands[0], &indices = *ctx.operands[1];
  const size_t axis = static_cast<size_t>(ctx.node.Int("axis"));
  const int64_t outer = Product(table.dims, 0, axis), places = table.dims[axis];
  const int64_t inner = Product(table.dims, axis + 1);
  const int64_t extent = ctx.operands.size() > 2 ? std::min(places, ctx.operands[2]->i[0]) : places;
  int64_t k = 0;
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t index : indices.i) {
      if (index < 0 || index >= extent)
        return InvalidArgument(IndexOwner(ctx.node), "index ", index, " is outside extent ",
                               extent);
      for (int64_t n = 0; n < inner; ++n)
        CopyElement(table, (o * places + index) * inner + n, ctx.results[0], k++);
    }
  }
  return absl::OkStatus();
}

OpSample SampleGather(Rng& rng) {
  const Shape table = DrawShape(rng, 1, 3);
  const int64_t axis = Draw(rng, 0, static_cast<int64_t>(table.size()) - 1);
  const int64_t places = table[axis].value();
  const auto extent = static_cast<double>(Flip(rng) ? Draw(rng, 1, places) : places);
  OpSample sample{{AnyOperand(DrawAny(rng), table),
                   {.type = {Pick(rng, {DType::kI64, DType::kI32}), DrawShape(rng, 0, 2)},
                    .low = 0,
                    .high = extent - 1}},
                  {{"axis", axis}}};
  if (Flip(rng) || extent < static_cast<double>(places)) {
    sample.operands.push_back({.type = {DType::kI64, {}}, .low = extent, .high = extent});
  }
  return sample;
}

// --- Rows
// -------------------------------------------------------------------------------------------

constexpr AttrSpec kReshapeAttrs[] = {
    {.name = "shape",
     .type = AttrType::kShape,
     .doc = "the result's extents; one may be -1, the rest"},
};
constexpr AttrSpec kTransposeAttrs[] = {
    {.name = "perm",
     .type = AttrType::kInts,
     .axis = AxisRule::kAxis,
     .doc = "for each axis of the result, that of x"},
};
constexpr AttrSpec kNarrowAttrs[] = {
    {.name = "axis", .type = AttrType::kInt, .axis = AxisRule::kAxis, .doc = "the axis cut"},
    {.name = "start", .type = AttrType::kInt, .min = 0, .doc = "first element kept"},
    {.name = "length", .type = AttrType::kInt, .min = 1, .doc = "elements kept"},
};
constexpr AttrSpec kConcatAttrs[] = {
    {.name = "axis", .type = AttrType::kInt, .axis = AxisRule::kAxis, .doc = "the axis joined"},
};
constexpr AttrSpec kExpandAttrs[] = {
    {.name = "shape",
     .type = AttrType::kShape,
     .doc = "the result's extents; -1 keeps that of x, aligned right"},
};
constexpr AttrSpec kGatherAttrs[] = {
    {.name = "axis",
     .type = AttrType::kInt,
     .required = false,
     .fallback = int64_t{0},
     .axis = AxisRule::kAxis,
     .doc = "the axis of the table that indices count along"},
    {.name = "of",
     .type = AttrType::kString,
     .required = false,
     .doc = "the op whose indices these are, for messages"},
};

constexpr RunCheck kGatherChecks[] = {{.operand = 1}, {.operand = 2, .safe = RunCheck::Safe::kOne}};

constexpr OpInfo Row(OpKind kind, std::string_view name, std::string_view claim, int operands,
                     std::span<const AttrSpec> attrs, absl::Status (*infer)(InferContext&),
                     absl::Status (*evaluate)(EvalContext&), OpSample (*sample)(Rng&),
                     std::string_view doc) {
  return {.kind = kind,
          .name = name,
          .claim = claim,
          .op_class = OpClass::kMovement,
          .min_operands = operands < 0 ? 1 : operands,
          .max_operands = operands,
          .attrs = attrs,
          .infer = infer,
          .evaluate = evaluate,
          .sample = sample,
          .doc = doc};
}

constexpr OpInfo GatherRow() {
  OpInfo row = Row(
      OpKind::kGather, "gather", "Gather", 2, kGatherAttrs, InferGather, EvaluateGather,
      SampleGather,
      "(table, indices[, extent i64 []]): the slices of the table along `axis` that the integer "
      "indices name; the indices' extents take that axis's place; an index outside it, or not "
      "below `extent` where that is less, is an error of the run");
  row.max_operands = 3;
  row.checks = kGatherChecks;
  return row;
}

constexpr OpInfo kTable[] = {
    Row(OpKind::kReshape, "reshape", "Reshape", 1, kReshapeAttrs, InferReshape, EvaluateReshape,
        SampleReshape, "(x): the same elements in row-major order with other extents"),
    Row(OpKind::kTranspose, "transpose", "Transpose", 1, kTransposeAttrs, InferTranspose,
        EvaluateTranspose, SampleTranspose, "(x): axis i of the result is axis perm[i] of x"),
    Row(OpKind::kNarrow, "narrow", "Narrow", 1, kNarrowAttrs, InferNarrow, EvaluateNarrow,
        SampleNarrow, "(x): elements start to start + length - 1 along `axis`"),
    Row(OpKind::kConcat, "concat", "Concat", -1, kConcatAttrs, InferConcat, EvaluateConcat,
        SampleConcat, "(x…): the operands one after the other along `axis`"),
    Row(OpKind::kExpand, "expand", "Expand", 1, kExpandAttrs, InferExpand, EvaluateExpand,
        SampleExpand, "(x): x broadcast to `shape`"),
    GatherRow(),
};

}  // namespace

std::span<const OpInfo> MovementOps() { return kTable; }

}  // namespace rlx
