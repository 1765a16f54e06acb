// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"

namespace rlx::onnx {
namespace {

// A node without operands: its one result is known, and enters the graph where it is read.
Results Constant(OpNode& n) {
  constexpr std::string_view kForms[] = {"value", "value_float", "value_floats", "value_int",
                                         "value_ints"};
  int forms = 0;
  for (std::string_view form : kForms) forms += n.HasAttr(form) ? 1 : 0;
  if (forms != 1)
    return Unimplemented("needs one attribute of ", Join(kForms, ", "), "; has ", forms);
  if (n.HasAttr("value")) {
    RLX_ASSIGN(HostTensor content, n.TensorAttr("value"));
    n.SetKnown(0, std::move(content), n.TensorAttrElement("value"));
    return std::vector<Value>{};
  }
  HostTensor content;
  if (n.HasAttr("value_float")) {
    content = HostTensor::FromDoubles(DType::kF32, {}, {n.Float("value_float", 0)});
  } else if (n.HasAttr("value_int")) {
    content = HostTensor::FromInts(DType::kI64, {}, {n.Int("value_int", 0)});
  } else if (n.HasAttr("value_floats")) {
    const std::vector<double> values = n.FloatList("value_floats");
    content = HostTensor::FromDoubles(DType::kF32, {static_cast<int64_t>(values.size())}, values);
  } else {
    const std::vector<int64_t> values = n.IntList("value_ints");
    content = HostTensor::FromInts(DType::kI64, {static_cast<int64_t>(values.size())}, values);
  }
  const Element element = ElementOf(content.dtype());
  n.SetKnown(0, std::move(content), element);
  return std::vector<Value>{};
}

struct Filling {
  HostTensor value = HostTensor::FromDoubles(DType::kF32, {}, {0});
  Element element = Element::kFloat;
};

absl::StatusOr<Filling> FillingOf(const OpNode& n) {
  Filling out;
  if (!n.HasAttr("value")) return out;
  RLX_ASSIGN(out.value, n.TensorAttr("value"));
  out.element = n.TensorAttrElement("value");
  if (out.value.size() != 1)
    return InvalidArgument("attribute \"value\" has ", out.value.size(), " elements");
  return out;
}

std::optional<DimTensor> FoldConstantOfShape(const OpNode& n) {
  const auto shape = n.Dims(0);
  const auto filling = FillingOf(n);
  if (!shape || !shape->is_static() || !filling.ok() || shape->size() > 1) return {};
  if (!IsExact(filling->value.dtype()) || Find(filling->element)->carried) return {};
  const int64_t count = shape->size() == 0 ? 1 : shape->elements[0].value();
  if (count < 0 || count > kMaxDims) return {};
  const Dim value(filling->value.ToInts()[0]);
  return DimTensor{filling->value.dtype(), static_cast<int>(shape->size()),
                   std::vector<Dim>(static_cast<size_t>(count), value)};
}

Results ConstantOfShape(OpNode& n) {
  RLX_ASSIGN(std::vector<Dim> shape, n.Extents(0, "shape"));
  RLX_ASSIGN(const Filling filling, FillingOf(n));
  RLX_ASSIGN(const HostTensor scalar,
             HostTensor::Create(filling.value.dtype(), {}, filling.value.bytes()));
  n.SetElement(0, filling.element);
  std::vector<int64_t> dims;
  for (const Dim& dim : shape)
    if (dim.is_static()) dims.push_back(dim.value());
  if (dims.size() == shape.size() && std::count(dims.begin(), dims.end(), 0) > 0) {
    n.SetEmpty(0, scalar.dtype(), std::move(dims), filling.element);
    return std::vector<Value>{};
  }
  const Value value = n.b.Constant(scalar);
  return One(shape.empty() ? value : n.b.Expand(value, std::move(shape)));
}

// --- Range ---

std::optional<DimTensor> FoldRange(const OpNode& n) {
  const auto start = n.Dims(0), limit = n.Dims(1), delta = n.Dims(2);
  if (!start || !limit || !delta || !IsInteger(start->dtype)) return {};
  if (start->size() != 1 || limit->size() != 1 || delta->size() != 1) return {};
  if (!start->is_static() || !limit->is_static() || !delta->is_static()) return {};
  const int64_t from = start->elements[0].value(), to = limit->elements[0].value();
  const int64_t step = delta->elements[0].value();
  if (step == 0) return {};
  DimTensor out{start->dtype, 1, {}};
  for (int64_t at = from; step > 0 ? at < to : at > to; at += step) {
    if (out.size() == kMaxDims || std::abs(at) > INT64_MAX / 4 || std::abs(step) > INT64_MAX / 4)
      return {};
    out.elements.emplace_back(at);
  }
  return out;
}

absl::StatusOr<Dim> RangeLength(const OpNode& n) {
  const auto start = n.Dims(0), limit = n.Dims(1), delta = n.Dims(2);
  if (start && limit && delta && start->size() == 1 && limit->size() == 1 && delta->size() == 1 &&
      IsInteger(start->dtype) && delta->is_static() && delta->elements[0].value() != 0) {
    const int64_t step = delta->elements[0].value();
    const Dim span = step > 0 ? limit->elements[0] - start->elements[0]
                              : start->elements[0] - limit->elements[0];
    return FloorDiv(span + Dim(std::abs(step) - 1), std::abs(step));
  }
  RLX_ASSIGN(const std::vector<double> from, n.Doubles(0, "start"));
  RLX_ASSIGN(const std::vector<double> to, n.Doubles(1, "limit"));
  RLX_ASSIGN(const std::vector<double> step, n.Doubles(2, "delta"));
  if (from.size() != 1 || to.size() != 1 || step.size() != 1 || step[0] == 0)
    return InvalidArgument("start, limit and delta have to be scalars, delta not 0");
  const double count = std::ceil((to[0] - from[0]) / step[0]);
  if (!(count < 1e9)) return InvalidArgument("the range has ", count, " elements");
  return Dim(static_cast<int64_t>(std::max(count, 0.0)));
}

Results Range(OpNode& n) {
  RLX_ASSIGN(const Dim length, RangeLength(n));
  if (length.is_static() && length.value() < 1) return Unimplemented("the range has no elements");
  GraphBuilder& b = n.b;
  const DType dtype = n.dtype(0);
  const Value index = To(b, EmitIota(b, length), dtype);
  const auto scalar = [&](int i) { return n.rank(i) == 0 ? n.In(i) : b.Reshape(n.In(i), {}); };
  return One(b.Add(b.Mul(index, scalar(2)), scalar(0)));
}

// --- Matrices with a diagonal ---

// bool [rows, cols]: column - row - k compared with zero.
Value Diagonal(GraphBuilder& b, OpKind relation, const Dim& rows, const Dim& cols, Value k) {
  const Value row = Along(b, EmitIota(b, rows), 0, 2), column = Along(b, EmitIota(b, cols), 1, 2);
  return b.Emit(relation, {b.Sub(column, row), k});
}

Results EyeLike(OpNode& n) {
  if (n.rank(0) != 2) return InvalidArgument("operand 0 has rank ", n.rank(0), ", not 2");
  const Element to = n.HasAttr("dtype") ? static_cast<Element>(n.Int("dtype", 0)) : n.element(0);
  const ElementInfo* info = Find(to);
  if (info == nullptr || info->carried) return Unimplemented("dtype ", Name(to));
  const Value k = n.b.Scalar(DType::kI64, static_cast<double>(n.Int("k", 0)));
  const Value on = Diagonal(n.b, OpKind::kEq, n.shape(0)[0], n.shape(0)[1], k);
  return One(To(n.b, on, info->dtype));
}

Results Trilu(OpNode& n) {
  GraphBuilder& b = n.b;
  const int rank = n.rank(0);
  if (rank < 2) return InvalidArgument("operand 0 has rank ", rank, ", less than 2");
  Value k = b.Scalar(DType::kI64, 0);
  if (n.Has(1)) k = n.rank(1) == 0 ? n.In(1) : b.Reshape(n.In(1), {});
  const OpKind relation = n.Int("upper", 1) != 0 ? OpKind::kGe : OpKind::kLe;
  const Dim &rows = n.shape(0)[static_cast<size_t>(rank) - 2], &cols = n.shape(0).back();
  const Value x = n.In(0);
  if (n.dtype(0) == DType::kBool)
    return One(b.Emit(OpKind::kLogicalAnd, {x, Diagonal(b, relation, rows, cols, k)}));
  return One(b.Where(Diagonal(b, relation, rows, cols, k), x, Like(b, x, 0)));
}

Results OneHot(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const std::vector<double> given, n.Doubles(1, "depth"));
  if (given.size() != 1 || !(given[0] >= 1 && given[0] < 1e9))
    return InvalidArgument("depth has to be one number > 0");
  const auto depth = static_cast<int64_t>(given[0]);
  const int rank = n.rank(0) + 1;
  RLX_ASSIGN(const int64_t axis, n.Axis(n.Int("axis", -1), rank));
  Value index = To(b, n.In(0), DType::kI64);
  const Value negative = b.Emit(OpKind::kLt, {index, Like(b, index, 0)});
  const Value length = Like(b, index, static_cast<double>(depth));
  index = b.Where(negative, b.Add(index, length), index);
  Shape spread = n.shape(0);
  spread.insert(spread.begin() + axis, Dim(1));
  index = b.Reshape(index, std::move(spread));
  const Value hit = b.Emit(OpKind::kEq, {index, Along(b, EmitIota(b, depth), axis, rank)});
  const Value values = n.In(2);
  const auto value = [&](int64_t i) { return b.Reshape(b.Narrow(values, 0, i, 1), {}); };
  return One(b.Where(hit, value(1), value(0)));
}

constexpr OpRow kRows[] = {
    {kOnnx, "Constant", 7, INT32_MAX, 0, 0, "value value_float value_floats value_int value_ints",
     Constant, nullptr, Carries::kSelf, "no strings, nothing sparse"},
    {kOnnx, "ConstantOfShape", 9, INT32_MAX, 1, 1, "value", ConstantOfShape, FoldConstantOfShape,
     Carries::kSelf},
    {kOnnx, "EyeLike", 9, INT32_MAX, 1, 1, "dtype k", EyeLike},
    {kOnnx, "OneHot", 9, INT32_MAX, 3, 3, "axis", OneHot, nullptr, Carries::kNo,
     "depth has to be known"},
    {kOnnx, "Range", 11, INT32_MAX, 3, 3, "", Range, FoldRange, Carries::kNo,
     "its length has to follow from shapes"},
    {kOnnx, "Trilu", 14, INT32_MAX, 1, 2, "upper", Trilu},
};

}  // namespace

std::span<const OpRow> ConstantOps() { return kRows; }

}  // namespace rlx::onnx
