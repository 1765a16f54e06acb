// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "absl/status/status.h"
#include "runtime/device/generate/generate.h"

namespace rlx::device {

// A kind of node that runs as kernels generated through the kernel IR, on any target that compiles
// those.
struct Generator {
  OpKind kind;
  std::string (*why_not)(const Graph&, const Node&);  // empty: it takes the node
  absl::Status (*generate)(ProgramBuilder&, NodeId, const Schedule&);
};

std::span<const Generator> Generators();
const Generator* FindGenerator(OpKind kind);  // null: there is none

}  // namespace rlx::device
