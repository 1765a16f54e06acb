// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/capacity.h"

#include <algorithm>

#include "runtime/base/checked.h"

namespace rlx {

SymbolTable CapacityRanges(const SymbolTable& declared) {
  SymbolTable capacity = declared;
  for (std::string_view name : {kBatch, kSeq, kRows, kPastSeq})
    capacity.try_emplace(std::string(name));
  for (auto& [name, range] : capacity)
    if (range.max == SymbolRange{}.max) range.max = range.min;
  return capacity;
}

std::optional<int64_t> CapacityBytes(const TensorType& type, const SymbolTable& capacity) {
  std::optional<int64_t> bytes = ByteWidth(type.dtype);
  for (const Dim& dim : type.shape) {
    const int64_t extent = dim.is_static() ? dim.value() : dim.UpperBound(capacity);
    if (bytes) bytes = CheckedMul(*bytes, std::max<int64_t>(extent, 1));
  }
  return bytes;
}

}  // namespace rlx
