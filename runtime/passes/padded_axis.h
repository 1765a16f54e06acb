// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "runtime/tensor/shape.h"

namespace rlx::passes {

// One axis of a value that is computed at a capacity: which of its places hold the tensor that the
// author meant, and which hold whatever padding has become. An axis is a product of parts,
// outermost first, each true in its first `extent` of `capacity` places: [batch, seq] reshaped to
// one axis has two parts. A part of constant extent is true throughout and merges into the part
// before it, so two axes are true in the same places iff their parts are equal.
struct AxisPart {
  Dim extent;            // symbolic: padded
  int64_t capacity = 1;  // > 1

  bool padded() const { return !extent.is_static(); }
  friend bool operator==(const AxisPart&, const AxisPart&) = default;
};

class PaddedAxis {
 public:
  PaddedAxis() = default;  // extent 1
  PaddedAxis(const Dim& extent, int64_t capacity) { Append({extent, capacity}); }

  void Append(AxisPart part);

  const std::vector<AxisPart>& parts() const { return parts_; }
  bool padded() const;
  // True in its first places, and nowhere else.
  bool prefix() const { return parts_.size() <= 1; }
  int64_t capacity() const;
  Dim extent() const;

  friend bool operator==(const PaddedAxis&, const PaddedAxis&) = default;

 private:
  std::vector<AxisPart> parts_;
};
using PaddedAxes = std::vector<PaddedAxis>;

// The axes that a reshape makes of `axes`: their extents and capacities are known, which places are
// true is the question. None when the reshape tears a padded part.
std::optional<PaddedAxes> Regroup(const PaddedAxes& axes, const Shape& extents,
                                  const std::vector<int64_t>& capacities);

bool AnyPadded(const PaddedAxes& axes);

// `seq≤64`, `batch≤8·seq≤64`, `12`: for messages and as a key.
std::string ToString(const PaddedAxis& axis);

}  // namespace rlx::passes
