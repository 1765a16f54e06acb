// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/engine/compile.h"

namespace rlx::engine {

// A module reduced to what an artifact depends on, with what its author called things set aside.
struct Canonical {
  Module module;
  std::shared_ptr<const SourceTable> names;
  Digest256 digest;  // of `module`
};

// Numbers the nodes of a verified module by its structure alone: inputs, params, then what the
// outputs reach, operands first (and what they do not reach, unless `drop_dead`). Names other than
// the signature's go, at every depth; each node's source becomes its number. Two modules that
// differ in nothing but names, sources, dead nodes and the order in which nodes were written have
// one digest (with aliases the order counts; with a plan every node and its number counts).
Canonical Canonicalize(const Module& module, bool drop_dead);

}  // namespace rlx::engine
