// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/passes/pass.h"
#include "runtime/passes/rules.h"

namespace rlx::passes {

struct WrittenNorm {
  OpKind norm;   // layer_norm or rms_norm
  bool centred;  // the mean is taken off first
  Rule rule;
};

// What raise_layer_norm and raise_rms_norm do.
absl::Status RaiseNorm(Graph& graph, PassContext& context, const WrittenNorm& kind);

}  // namespace rlx::passes
