// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/padded_axis.h"

#include <algorithm>
#include <deque>

#include "runtime/base/text.h"

namespace rlx::passes {
namespace {

// Takes the outermost `count` places off the front part, true as far as the part is.
std::optional<AxisPart> SplitFront(std::deque<AxisPart>& parts, int64_t count) {
  AxisPart& front = parts.front();
  if (front.capacity % count != 0) return std::nullopt;
  const int64_t inner = front.capacity / count;
  const AxisPart outer{FloorDiv(front.extent, inner), count};
  if (outer.extent * inner != front.extent) return std::nullopt;
  front = {inner, inner};
  return outer;
}

std::optional<PaddedAxis> TakeAxis(std::deque<AxisPart>& parts, int64_t capacity) {
  PaddedAxis axis;
  int64_t left = capacity;
  while (left > 1) {
    if (parts.empty()) return std::nullopt;
    if (left % parts.front().capacity == 0) {
      left /= parts.front().capacity;
      axis.Append(parts.front());
      parts.pop_front();
      continue;
    }
    const auto outer = SplitFront(parts, left);
    if (!outer) return std::nullopt;
    axis.Append(*outer);
    left = 1;
  }
  return axis;
}

}  // namespace

void PaddedAxis::Append(AxisPart part) {
  if (part.capacity == 1) return;
  if (!part.padded() && !parts_.empty()) {
    parts_.back().extent = parts_.back().extent * part.extent;
    parts_.back().capacity *= part.capacity;
    return;
  }
  parts_.push_back(std::move(part));
}

bool PaddedAxis::padded() const { return std::ranges::any_of(parts_, &AxisPart::padded); }

int64_t PaddedAxis::capacity() const {
  int64_t product = 1;
  for (const AxisPart& part : parts_) product *= part.capacity;
  return product;
}

Dim PaddedAxis::extent() const {
  Dim product = 1;
  for (const AxisPart& part : parts_) product = product * part.extent;
  return product;
}

std::optional<PaddedAxes> Regroup(const PaddedAxes& axes, const Shape& extents,
                                  const std::vector<int64_t>& capacities) {
  std::deque<AxisPart> parts;
  for (const PaddedAxis& axis : axes) {
    parts.insert(parts.end(), axis.parts().begin(), axis.parts().end());
  }
  PaddedAxes made;
  for (size_t d = 0; d < extents.size(); ++d) {
    std::optional<PaddedAxis> axis = TakeAxis(parts, capacities[d]);
    if (!axis || axis->extent() != extents[d]) return std::nullopt;
    made.push_back(*std::move(axis));
  }
  return made;
}

bool AnyPadded(const PaddedAxes& axes) { return std::ranges::any_of(axes, &PaddedAxis::padded); }

std::string ToString(const PaddedAxis& axis) {
  if (axis.parts().empty()) return "1";
  return Join(axis.parts(), "·", [](std::string& out, const AxisPart& part) {
    out += part.padded() ? Cat(part.extent, "≤", part.capacity) : Cat(part.capacity);
  });
}

}  // namespace rlx::passes
