// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "runtime/ir/op_kind.h"

namespace rlx::passes {

// The elementwise ops that fused_matmul_bias_act can apply to its sum, under their own names.
const std::vector<OpKind>& EpilogueActivations();
bool IsEpilogueActivation(OpKind op);

}  // namespace rlx::passes
