// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/tensor/dim.h"
#include "runtime/tensor/dtype.h"

namespace rlx {

using Shape = std::vector<Dim>;  // outermost first; empty is a scalar

// A tensor's element type and extents. Row-major, dense.
struct TensorType {
  DType dtype = DType::kF32;
  Shape shape;

  int rank() const { return static_cast<int>(shape.size()); }
  bool is_static() const;
  // The product of the extents; none when an extent is symbolic or the product overflows.
  std::optional<int64_t> NumElements() const;
  std::optional<int64_t> ByteSize() const;
  // Requires is_static().
  std::vector<int64_t> StaticDims() const;
  TensorType Bind(const DimBinding& binding) const;

  friend bool operator==(const TensorType&, const TensorType&) = default;
};

// `f32[4,15,384]`, `f32[batch,seq,384]`, `i64[]`.
void AppendTo(std::string& out, const TensorType& type);
std::string ToString(const TensorType& type);
std::string ToString(const Shape& shape);  // `[4,15,384]`

// Two dims that must turn out equal when symbols are bound. `a ≤ b` is written max(a, b) = b.
struct DimConstraint {
  Dim a, b;
  friend bool operator==(const DimConstraint&, const DimConstraint&) = default;
};

// Demands that `a` and `b` are equal: false when they cannot be, with a new entry in `constraints`
// when only a binding can tell.
bool RequireEqual(const Dim& a, const Dim& b, std::vector<DimConstraint>& constraints);

// Numpy broadcasting, right-aligned. Extent 1 stretches; equal extents agree; two unequal constants
// fail, and so do two that differ by a constant (`s` and `s + 1`); any other pair is taken to be
// equal, and that is recorded in `constraints` (never silently assumed). The result prefers the
// constant side.
absl::StatusOr<Shape> Broadcast(const Shape& a, const Shape& b,
                                std::vector<DimConstraint>& constraints);

// Whether a tensor of shape `from` broadcasts to `to` without stretching `to`.
bool BroadcastsTo(const Shape& from, const Shape& to);

// Symbol constraint check under a full binding: the first violated one as InvalidArgument.
absl::Status CheckConstraints(const std::vector<DimConstraint>& constraints,
                              const DimBinding& binding);

// Row-major element strides of static dims.
std::vector<int64_t> RowMajorStrides(const std::vector<int64_t>& dims);

}  // namespace rlx
