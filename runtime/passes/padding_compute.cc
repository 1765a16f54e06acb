// SPDX-License-Identifier: Apache-2.0
// Products, reductions and what acts along one axis: places mix, so padding is given the value that
// changes nothing.
#include <algorithm>
#include <limits>

#include "runtime/base/status.h"
#include "runtime/passes/padding_rules.h"

namespace rlx::passes {
namespace {

// Below and above every element, as a Scalar of the type takes it.
double Least(DType dtype) {
  if (IsExact(dtype)) return static_cast<double>(SaturateToInt(dtype, -1e30));
  if (dtype == DType::kFp8E4M3) return -448;  // it has no infinity
  return -std::numeric_limits<double>::infinity();
}
double Greatest(DType dtype) {
  if (IsExact(dtype)) return static_cast<double>(SaturateToInt(dtype, 1e30));
  if (dtype == DType::kFp8E4M3) return 448;
  return std::numeric_limits<double>::infinity();
}

double NeutralOf(OpKind reduction, DType dtype) {
  if (reduction == OpKind::kReduceMax) return Least(dtype);
  if (reduction == OpKind::kReduceMin) return Greatest(dtype);
  return reduction == OpKind::kReduceProd ? 1 : 0;
}

PaddedAxes ReducedAxes(const PaddedAxes& axes, const std::vector<int64_t>& reduced, bool keep) {
  PaddedAxes out;
  for (size_t d = 0; d < axes.size(); ++d) {
    const bool gone = std::ranges::find(reduced, static_cast<int64_t>(d)) != reduced.end();
    if (!gone) out.push_back(axes[d]);
    if (gone && keep) out.emplace_back();
  }
  return out;
}

// A matrix is [.., rows, columns]; a padded contraction is made of zeroes on both sides, because
// zero times what lies in padding may be NaN.
struct Product {
  std::vector<Value> values;  // left, right
  PaddedAxes axes;            // of the result
};
absl::StatusOr<Product> TakeProduct(Padder& p) {
  const PaddedValue left = p.Operand(0), right = p.Operand(1);
  const size_t l = left.axes.size(), r = right.axes.size();
  if (left.axes[l - 1] != right.axes[r - 2]) {
    return FailedPrecondition("it sums over ", ToString(left.axes[l - 1]), " on one side and ",
                              ToString(right.axes[r - 2]), " on the other");
  }
  RLX_ASSIGN(PaddedAxes axes, BroadcastAxes({{left.axes.begin(), left.axes.end() - 2},
                                             {right.axes.begin(), right.axes.end() - 2}}));
  axes.push_back(left.axes[l - 2]);
  axes.push_back(right.axes[r - 1]);
  const auto last = static_cast<int64_t>(l) - 1, middle = static_cast<int64_t>(r) - 2;
  return Product{{p.Fill(left, {last}, 0), p.Fill(right, {middle}, 0)}, std::move(axes)};
}

}  // namespace

absl::Status PadMatMul(Padder& p) {
  RLX_ASSIGN(Product product, TakeProduct(p));
  p.SetResult(0, p.Emit(std::move(product.values))[0], std::move(product.axes));
  return absl::OkStatus();
}

absl::Status PadMatMulEpilogue(Padder& p) {
  RLX_ASSIGN(Product product, TakeProduct(p));
  std::vector<PaddedAxes> beside = {product.axes};
  for (size_t i = 2; i < p.operands(); ++i) {  // bias, residual
    beside.push_back(p.Operand(i).axes);
    product.values.push_back(p.Operand(i).value);
  }
  RLX_TRY(BroadcastAxes(beside).status());
  p.SetResult(0, p.Emit(std::move(product.values))[0], std::move(product.axes));
  return absl::OkStatus();
}

namespace {

// The node over its operands, of which the first alone may be padded, and only in axes before
// `from`, which its result has too; or operand `alike` as well, in the same places.
absl::Status PassThrough(Padder& p, size_t from, size_t alike = 0) {
  const PaddedValue x = p.Operand(0);
  for (size_t d = from; d < x.axes.size(); ++d) {
    if (x.axes[d].padded()) return FailedPrecondition("it acts along ", ToString(x.axes[d]));
  }
  std::vector<Value> values = {x.value};
  for (size_t i = 1; i < p.operands(); ++i) {
    const PaddedAxes& own = p.Operand(i).axes;
    const bool same =
        i == alike &&
        std::equal(own.begin(), own.begin() + static_cast<int64_t>(from), x.axes.begin()) &&
        !AnyPadded({own.begin() + static_cast<int64_t>(from), own.end()});
    if (AnyPadded(own) && !same) return FailedPrecondition("operand ", i, " is padded");
    values.push_back(p.Operand(i).value);
  }
  const std::vector<int64_t> dims = p.capacities();
  PaddedAxes axes(x.axes.begin(), x.axes.begin() + static_cast<int64_t>(from));
  for (size_t d = from; d < dims.size(); ++d) axes.emplace_back(dims[d], dims[d]);
  p.SetResult(0, p.Emit(std::move(values))[0], std::move(axes));
  return absl::OkStatus();
}

}  // namespace

absl::Status PadPackedMatMul(Padder& p) { return PassThrough(p, p.Operand(0).axes.size() - 1); }
absl::Status PadFirstAxis(Padder& p) { return PassThrough(p, 1); }
absl::Status PadConvEpilogue(Padder& p) {
  return PassThrough(p, 1, p.bound().Bool("has_residual") ? p.operands() - 1 : 0);
}

// Divides by how many places are true, not by how many there are. As the op itself does, it adds
// and divides wider than 16 bits: neither the sum nor the count need fit the type of the mean.
Value Mean(Padder& p, Value filled, const Dim& count) {
  const std::vector<int64_t>& reduced = p.bound().Ints("axes");
  GraphBuilder& b = p.build();
  const DType dtype = b.type(filled).dtype, wide = IsNarrowFloat(dtype) ? DType::kF32 : dtype;
  const auto as = [&](Value x, DType to) { return b.type(x).dtype == to ? x : b.Cast(x, to); };
  const Value sum =
      b.Reduce(OpKind::kReduceSum, as(filled, wide), reduced, p.bound().Bool("keep_dims"));
  return as(b.Div(sum, b.Cast(p.Extent(count), wide)), dtype);
}

absl::Status PadReduce(Padder& p) {
  const PaddedValue x = p.Operand(0);
  const std::vector<int64_t>& reduced = p.bound().Ints("axes");
  const bool keep = p.bound().Bool("keep_dims"), mean = p.bound().op == OpKind::kReduceMean;
  const DType dtype = p.build().type(x.value).dtype;
  const Value filled = p.Fill(x, reduced, NeutralOf(p.bound().op, dtype));
  Value result;
  if (mean && filled != x.value) {
    Dim count = 1;
    for (int64_t axis : reduced) count = count * x.axes[axis].extent();
    result = Mean(p, filled, count);
  } else {
    result = p.Emit({filled})[0];
  }
  p.SetResult(0, result, ReducedAxes(x.axes, reduced, keep));
  return absl::OkStatus();
}

absl::Status PadSoftmax(Padder& p) {
  const PaddedValue x = p.Operand(0);
  if (p.build().type(x.value).dtype == DType::kFp8E4M3) {
    return FailedPrecondition("nothing in fp8_e4m3 counts for nothing");
  }
  const Value filled = p.Fill(x, {p.bound().Int("axis")}, Least(p.build().type(x.value).dtype));
  p.SetResult(0, p.Emit({filled})[0], x.axes);
  return absl::OkStatus();
}

// What comes first does not depend on what comes later.
absl::Status PadCumsum(Padder& p) {
  const PaddedValue x = p.Operand(0);
  const PaddedAxis& axis = x.axes[p.bound().Int("axis")];
  if (!axis.prefix()) return FailedPrecondition("its axis is true in ", ToString(axis));
  p.SetResult(0, p.Emit({x.value})[0], x.axes);
  return absl::OkStatus();
}

// Equal elements rank by place, so that padding comes after all that is true.
absl::Status PadTopK(Padder& p) {
  const PaddedValue x = p.Operand(0);
  const int64_t axis = p.bound().Int("axis"), k = p.bound().Int("k");
  if (!x.axes[axis].prefix())
    return FailedPrecondition("its axis is true in ", ToString(x.axes[axis]));
  const Value filled = p.Fill(x, {axis}, Least(p.build().type(x.value).dtype));
  const std::vector<Value> results = p.Emit({filled});
  RLX_TRY(p.build().status());
  PaddedAxes axes = x.axes;
  axes[axis] = PaddedAxis(k, k);
  for (size_t r = 0; r < results.size(); ++r) p.SetResult(r, results[r], axes);
  return absl::OkStatus();
}

absl::Status PadRows(Padder& p) {
  std::vector<PaddedAxes> operands;
  std::vector<Value> values;
  const PaddedAxes axes = p.Operand(0).axes;
  const AttrValue* first = p.bound().Find("axis");
  const auto rank = static_cast<int64_t>(axes.size());
  const int64_t from = first == nullptr ? rank - 1 : std::get<int64_t>(*first);
  for (int64_t axis = from; axis < rank; ++axis) {
    if (axes[axis].padded()) return FailedPrecondition("it acts along ", ToString(axes[axis]));
  }
  for (size_t i = 0; i < p.operands(); ++i) {
    operands.push_back(p.Operand(i).axes);
    values.push_back(p.Operand(i).value);
  }
  RLX_TRY(BroadcastAxes(operands).status());
  const std::vector<Value> results = p.Emit(std::move(values));
  RLX_TRY(p.build().status());
  for (size_t r = 0; r < results.size(); ++r) {
    PaddedAxes own = axes;
    const int64_t width = p.capacities(r).back();
    own.back() = PaddedAxis(width, width);
    p.SetResult(r, results[r], std::move(own));
  }
  return absl::OkStatus();
}

}  // namespace rlx::passes
