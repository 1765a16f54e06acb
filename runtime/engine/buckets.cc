// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/buckets.h"

#include <algorithm>
#include <bit>

namespace rlx::engine {

DimBinding BucketFor(const DimBinding& sizes, const SymbolTable& symbols) {
  DimBinding bucket;
  for (const auto& [symbol, size] : sizes) {
    const auto found = symbols.find(symbol);
    const SymbolRange range = found == symbols.end() ? SymbolRange{} : found->second;
    const auto power = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(size)));
    bucket[symbol] = std::max(size, std::min(power, range.max));
  }
  return bucket;
}

bool Holds(const DimBinding& capacity, const DimBinding& sizes) {
  return std::ranges::all_of(sizes, [&](const auto& entry) {
    const auto found = capacity.find(entry.first);
    return found != capacity.end() && entry.second <= found->second;
  });
}

}  // namespace rlx::engine
