// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "runtime/tensor/shape.h"

namespace rlx {

// The ranges that sizes are judged by: the declared ones and those of the well-known symbols, where
// a symbol without a bound counts by its least value.
SymbolTable CapacityRanges(const SymbolTable& declared);

// Bytes of a value by such ranges, an extent counting as 1 at least; nothing when they overflow.
std::optional<int64_t> CapacityBytes(const TensorType& type, const SymbolTable& capacity);

}  // namespace rlx
