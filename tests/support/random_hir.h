// SPDX-License-Identifier: Apache-2.0
// Random HIR modules: every block, tensor ops and blocks of the module's own among them.
#pragma once

#include "runtime/ir/graph.h"
#include "runtime/ir/op_info.h"

namespace rlx::test {

struct RandomHirOptions {
  int steps = 5;
  bool symbolic = false;  // batch and seq are symbols
  DType dtype = DType::kF32;
  bool own_blocks = true;           // of the module's own
  bool weights_are_params = false;  // otherwise half of them arrive as inputs
};

// A verified module with several consumers a value and outputs on intermediate values. The same
// seed gives the same graph under either policy. Inputs are meant for RandomInputs.
Module RandomHir(uint64_t seed, FusionPolicy policy, const RandomHirOptions& options = {});

// Every block that the modules of many seeds hold between them.
std::vector<OpKind> RandomHirBlocks();

}  // namespace rlx::test
