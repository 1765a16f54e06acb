// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "runtime/tensor/shape.h"

namespace rlx {

// False when no sizes within the symbols' ranges keep all constraints. Sound, not complete: what it
// refuses cannot be kept; what it lets pass, a binding still has to keep. It solves equations for
// symbols that stand alone in them, and narrows ranges until little changes or enough was tried.
bool MayHold(std::span<const DimConstraint> constraints, const SymbolTable& symbols);

// Of constraints that MayHold refuses, a few that it refuses by themselves: positions, sorted.
std::vector<size_t> ConflictIn(std::span<const DimConstraint> constraints,
                               const SymbolTable& symbols);

}  // namespace rlx
