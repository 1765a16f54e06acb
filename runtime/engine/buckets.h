// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/tensor/dim.h"

namespace rlx::engine {

// The capacity that serves `sizes`: for each symbol the next power of two, or the most that its
// range allows. At least `sizes` everywhere, so at most twice the work along each symbol.
DimBinding BucketFor(const DimBinding& sizes, const SymbolTable& symbols);

// Whether every size is at most the capacity of its symbol.
bool Holds(const DimBinding& capacity, const DimBinding& sizes);

}  // namespace rlx::engine
