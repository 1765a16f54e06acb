// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"

namespace rlx::onnx {
namespace {

// --- Shape, Size: always folded. ---

std::optional<DimTensor> FoldShape(const OpNode& n) {
  const Shape& shape = n.shape(0);
  const int64_t rank = n.rank(0);
  const auto place = [&](int64_t at) {
    return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  const int64_t start = place(n.Int("start", 0)), end = place(n.Int("end", rank));
  DimTensor out;
  for (int64_t i = start; i < end; ++i) out.elements.push_back(shape[static_cast<size_t>(i)]);
  return out;
}

std::optional<DimTensor> FoldSize(const OpNode& n) {
  return DimTensor{DType::kI64, 0, {Product(n.shape(0), 0, n.shape(0).size())}};
}

Results Unfolded(OpNode&) { return Unimplemented("it has too many dims"); }

// --- Views of the same elements. ---

std::optional<DimTensor> FoldSame(const OpNode& n) { return n.Dims(0); }

Results Identity(OpNode& n) {
  if (!n.tensor(0)->value.valid()) {  // still to be read, or known: it stays so
    n.SetResult(0, n.tensor(0));
    return std::vector<Value>{};
  }
  return One(n.In(0));
}

absl::StatusOr<Shape> ReshapeTo(const OpNode& n) {
  RLX_ASSIGN(const std::vector<Dim> asked, n.Extents(1, "shape"));
  const bool keep_zero = n.Int("allowzero", 0) != 0;
  Shape shape;
  for (size_t i = 0; i < asked.size(); ++i) {
    if (asked[i] == Dim(0) && !keep_zero) {
      if (i >= n.shape(0).size()) return InvalidArgument("shape[", i, "] is 0, beyond the operand");
      shape.push_back(n.shape(0)[i]);
    } else {
      shape.push_back(asked[i]);
    }
  }
  return shape;
}

// A -1 that symbols leave open is what is left after equal extents are struck off both sides.
Shape SettleRest(const Shape& from, Shape to) {
  const auto rest = std::find(to.begin(), to.end(), Dim(-1));
  if (rest == to.end()) return to;
  Shape left = from;
  Dim divisor(1);
  for (const Dim& dim : to) {
    if (dim == Dim(-1)) continue;
    const auto found = std::find(left.begin(), left.end(), dim);
    if (found != left.end())
      left.erase(found);
    else
      divisor = divisor * dim;
  }
  *rest = FloorDiv(Product(left, 0, left.size()), divisor);
  return to;
}

Results Reshape(OpNode& n) {
  RLX_ASSIGN(Shape shape, ReshapeTo(n));
  if (std::any_of(n.shape(0).begin(), n.shape(0).end(),
                  [](const Dim& d) { return !d.is_static(); }))
    shape = SettleRest(n.shape(0), std::move(shape));
  return One(n.b.Reshape(n.In(0), std::move(shape)));
}

std::optional<DimTensor> FoldReshape(const OpNode& n) {
  auto x = n.Dims(0);
  const auto shape = n.Dims(1);
  if (!x || !shape || !shape->is_static() || shape->size() > 1) return {};
  if (shape->size() == 0 && x->size() != 1) return {};
  if (shape->size() == 1 && shape->elements[0].value() != -1 &&
      shape->elements[0].value() != x->size())
    return {};
  x->rank = static_cast<int>(shape->size());
  return x;
}

Results Flatten_(OpNode& n) {
  const int rank = n.rank(0);
  int64_t axis = n.Int("axis", 1);
  if (axis < -rank || axis > rank) return InvalidArgument("axis ", axis, " is not one of ", rank);
  if (axis < 0) axis += rank;
  const Shape& from = n.shape(0);
  return One(n.b.Reshape(n.In(0), {Product(from, 0, static_cast<size_t>(axis)),
                                   Product(from, static_cast<size_t>(axis), from.size())}));
}

// Of an attribute before opset 13, an operand since; none given: nothing.
absl::StatusOr<std::optional<std::vector<int64_t>>> AxesOf(const OpNode& n) {
  if (n.opset < 13) {
    if (!n.HasAttr("axes")) return std::nullopt;
    return n.IntList("axes");
  }
  if (!n.Has(1)) return std::nullopt;
  RLX_ASSIGN(std::vector<int64_t> axes, n.Ints(1, "axes"));
  return axes;
}

Results Squeeze(OpNode& n) {
  RLX_ASSIGN(const auto given, AxesOf(n));
  std::vector<int64_t> axes;
  if (given) {
    RLX_ASSIGN(axes, n.Axes(*given, n.rank(0)));
  }
  Shape shape;
  for (int i = 0; i < n.rank(0); ++i) {
    const Dim& dim = n.shape(0)[static_cast<size_t>(i)];
    const bool named = std::find(axes.begin(), axes.end(), i) != axes.end();
    if (named && dim.is_static() && dim != Dim(1))
      return InvalidArgument("axis ", i, " has extent ", dim, ", not 1");
    if (given ? !named : dim != Dim(1)) shape.push_back(dim);
  }
  return One(n.b.Reshape(n.In(0), std::move(shape)));
}

std::optional<DimTensor> FoldSqueeze(const OpNode& n) {
  auto x = n.Dims(0);
  if (!x || x->size() != 1) return {};
  x->rank = 0;
  return x;
}

Results Unsqueeze(OpNode& n) {
  RLX_ASSIGN(const auto given, AxesOf(n));
  if (!given) return InvalidArgument("axes are not given");
  const int rank = n.rank(0) + static_cast<int>(given->size());
  RLX_ASSIGN(std::vector<int64_t> axes, n.Axes(*given, rank));
  std::sort(axes.begin(), axes.end());
  Shape shape = n.shape(0);
  for (const int64_t axis : axes) shape.insert(shape.begin() + axis, Dim(1));
  return One(n.b.Reshape(n.In(0), std::move(shape)));
}

std::optional<DimTensor> FoldUnsqueeze(const OpNode& n) {
  auto x = n.Dims(0);
  const auto axes = AxesOf(n);
  if (!x || x->rank != 0 || !axes.ok() || !*axes || (*axes)->size() != 1) return {};
  x->rank = 1;
  return x;
}

// --- Expand ---

Results Expand(OpNode& n) {
  RLX_ASSIGN(const std::vector<Dim> asked, n.Extents(1, "shape"));
  std::vector<DimConstraint> constraints;
  RLX_ASSIGN(Shape shape, Broadcast(n.shape(0), asked, constraints));
  n.b.graph().AddConstraints(constraints);
  return One(n.b.Expand(n.In(0), std::move(shape)));
}

std::optional<DimTensor> FoldExpand(const OpNode& n) {
  auto x = n.Dims(0);
  const auto shape = n.Dims(1);
  if (!x || !shape || !shape->is_static() || shape->size() != 1) return {};
  const int64_t count = shape->elements[0].value();
  if (count < 1 || count > kMaxDims || (x->size() != 1 && count != 1 && count != x->size()))
    return {};
  if (x->size() == 1) x->elements.assign(static_cast<size_t>(count), Dim(x->elements[0]));
  x->rank = 1;
  return x;
}

// Of a tensor, which is there.
Results HasElement(OpNode& n) { return One(n.b.Scalar(DType::kBool, n.Has(0) ? 1 : 0)); }

Results Dropout(OpNode& n) {
  if (n.opset >= 12 && n.Has(2)) {
    RLX_ASSIGN(const std::vector<int64_t> training, n.Ints(2, "training_mode"));
    double ratio = 0.5;
    if (n.Has(1)) {
      RLX_ASSIGN(const std::vector<double> given, n.Doubles(1, "ratio"));
      if (given.size() == 1) ratio = given[0];
    }
    if (!training.empty() && training[0] != 0 && ratio != 0)
      return Unimplemented("training_mode is true; only inference is supported");
  }
  const Value x = n.In(0);
  if (!n.Wants(1)) return One(x);
  return std::vector<Value>{x, n.b.Expand(n.b.Scalar(DType::kBool, 1), n.shape(0))};
}

constexpr OpRow kRows[] = {
    {kOnnx, "Dropout", 7, INT32_MAX, 1, 3, "ratio seed", Dropout, nullptr, Carries::kNo,
     "inference only"},
    {kOnnx, "Expand", 8, INT32_MAX, 2, 2, "", Expand, FoldExpand, Carries::kMove,
     "the shape has to follow from shapes"},
    {kOnnx, "Flatten", 7, INT32_MAX, 1, 1, "axis", Flatten_, nullptr, Carries::kMove},
    {kOnnx, "Identity", 7, INT32_MAX, 1, 1, "", Identity, FoldSame, Carries::kMove},
    {kOnnx, "OptionalGetElement", 15, INT32_MAX, 1, 1, "", Identity, nullptr, Carries::kMove,
     "of tensors"},
    {kOnnx, "OptionalHasElement", 15, INT32_MAX, 0, 1, "", HasElement, nullptr, Carries::kSelf,
     "of tensors"},
    {kOnnx, "Reshape", 7, INT32_MAX, 2, 2, "allowzero", Reshape, FoldReshape, Carries::kMove,
     "the shape has to follow from shapes"},
    {kOnnx, "Shape", 7, INT32_MAX, 1, 1, "start end", Unfolded, FoldShape, Carries::kSelf},
    {kOnnx, "Size", 7, INT32_MAX, 1, 1, "", Unfolded, FoldSize, Carries::kSelf},
    {kOnnx, "Squeeze", 7, INT32_MAX, 1, 2, "axes", Squeeze, FoldSqueeze, Carries::kMove},
    {kOnnx, "Unsqueeze", 7, INT32_MAX, 1, 2, "axes", Unsqueeze, FoldUnsqueeze, Carries::kMove},
};

}  // namespace

std::span<const OpRow> ShapeOps() { return kRows; }

}  // namespace rlx::onnx
