// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/base/sha256.h"
#include "runtime/ir/graph.h"

namespace rlx::engine {

// SHA-256 over everything in a canonical module but sources: two modules with one digest compile to
// the same artifact. Constants enter by their own digest, result types of leaves alone (the others
// follow). Nested graphs enter by digest, each computed once.
Digest256 DigestModule(const Module& module);

}  // namespace rlx::engine
