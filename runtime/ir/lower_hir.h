// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "runtime/ir/graph.h"

namespace rlx {

// The MIR of a verified HIR module. Every block is replaced by its row's lowering under the
// module's policy: Direct emits fused ops, Fusable the primitives that passes fuse. Leaves and MIR
// ops are copied, nested graphs lowered alike; signature, symbols, constraints and aliases stay.
// Every node says which HIR node it came from (SourceRef::Kind::kHir with HirLabel), nodes of
// nested graphs that of their owner.
absl::StatusOr<Graph> LowerHir(const Module& module);

}  // namespace rlx
