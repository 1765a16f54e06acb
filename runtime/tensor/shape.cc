// SPDX-License-Identifier: Apache-2.0
#include "runtime/tensor/shape.h"

#include <algorithm>

#include "runtime/base/checked.h"
#include "runtime/base/status.h"

namespace rlx {
namespace {

void AppendShape(std::string& out, const Shape& shape) {
  out += '[';
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) out += ',';
    AppendTo(out, shape[i]);
  }
  out += ']';
}

}  // namespace

bool TensorType::is_static() const {
  return std::all_of(shape.begin(), shape.end(),
                     [](const Dim& dim) { return dim.is_static() && !dim.is_overflow(); });
}

// Without a vector of extents: every run asks.
std::optional<int64_t> TensorType::NumElements() const {
  std::optional<int64_t> product = 1;
  for (const Dim& dim : shape) {
    if (!dim.is_static() || dim.is_overflow()) return std::nullopt;
    product = CheckedMul(*product, dim.value());
    if (!product) break;
  }
  return product;
}

std::optional<int64_t> TensorType::ByteSize() const {
  const auto elements = NumElements();
  return elements ? CheckedMul<int64_t>(*elements, ByteWidth(dtype)) : std::nullopt;
}

std::vector<int64_t> TensorType::StaticDims() const {
  std::vector<int64_t> dims;
  dims.reserve(shape.size());
  for (const Dim& dim : shape) dims.push_back(dim.value());
  return dims;
}

TensorType TensorType::Bind(const DimBinding& binding) const {
  TensorType bound = *this;
  for (Dim& dim : bound.shape) dim = dim.Bind(binding);
  return bound;
}

void AppendTo(std::string& out, const TensorType& type) {
  AppendTo(out, type.dtype);
  AppendShape(out, type.shape);
}

std::string ToString(const TensorType& type) { return Cat(type); }

std::string ToString(const Shape& shape) {
  std::string out;
  AppendShape(out, shape);
  return out;
}

bool RequireEqual(const Dim& a, const Dim& b, std::vector<DimConstraint>& constraints) {
  if (a.is_overflow() || b.is_overflow()) return false;
  if (a == b) return true;
  if ((a - b).is_static()) return false;
  constraints.push_back({a, b});
  return true;
}

absl::StatusOr<Shape> Broadcast(const Shape& a, const Shape& b,
                                std::vector<DimConstraint>& constraints) {
  const Shape& longer = a.size() >= b.size() ? a : b;
  const Shape& shorter = a.size() >= b.size() ? b : a;
  Shape result = longer;
  const size_t offset = longer.size() - shorter.size();
  for (size_t i = 0; i < shorter.size(); ++i) {
    Dim& mine = result[offset + i];
    const Dim& other = shorter[i];
    if (other == Dim(1)) continue;
    if (mine == Dim(1)) {
      mine = other;
      continue;
    }
    if (!RequireEqual(mine, other, constraints)) {
      return InvalidArgument("shapes ", ToString(a), " and ", ToString(b), " do not broadcast (",
                             mine, " vs ", other, ")");
    }
    if (other.is_static()) mine = other;
  }
  return result;
}

bool BroadcastsTo(const Shape& from, const Shape& to) {
  if (from.size() > to.size()) return false;
  const size_t offset = to.size() - from.size();
  for (size_t i = 0; i < from.size(); ++i)
    if (from[i] != Dim(1) && from[i] != to[offset + i]) return false;
  return true;
}

absl::Status CheckConstraints(const std::vector<DimConstraint>& constraints,
                              const DimBinding& binding) {
  for (const auto& [a, b] : constraints) {
    const Dim left = a.Bind(binding), right = b.Bind(binding);
    if (left == right && !left.is_overflow()) continue;
    if (!left.is_static() || !right.is_static()) {
      return InvalidArgument("the binding leaves ", a, " = ", b, " open (", left, " vs ", right,
                             ")");
    }
    return InvalidArgument("the binding violates ", a, " = ", b, " (", left, " vs ", right, ")");
  }
  return absl::OkStatus();
}

std::vector<int64_t> RowMajorStrides(const std::vector<int64_t>& dims) {
  std::vector<int64_t> strides(dims.size());
  int64_t stride = 1;
  for (size_t i = dims.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= dims[i];
  }
  return strides;
}

}  // namespace rlx
