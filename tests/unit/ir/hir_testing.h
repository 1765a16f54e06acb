// SPDX-License-Identifier: Apache-2.0
// Blocks of HIR to try: each lowers under both fusion policies.
#pragma once

#include "runtime/ir/lower_hir.h"
#include "tests/unit/ir/op_testing.h"

namespace rlx {

// A block over named operands, as a module of one block.
struct Block {
  OpKind op;
  std::vector<std::pair<std::string, TensorType>> operands;
  std::vector<Attr> attrs;
};

TensorType F64(Shape shape);

struct LlamaSize {
  Dim batch = 2, seq = 5;
  int64_t heads = 4, kv_heads = 2, head_dim = 6, hidden = 10, inner = 14, table = 16;
};

Block LinearBlock(std::string activation, bool bias);
Block SwigluBlock();
Block LlamaBlock(const LlamaSize& n, bool betas = false, bool positions = false,
                 std::string mask = "causal");
Block BertBlock(bool mask);

absl::StatusOr<Module> ModuleOf(const Block& block, FusionPolicy policy);
absl::StatusOr<Graph> LowerBlock(const Block& block, FusionPolicy policy);
// Why the block is refused; empty when it is not.
std::string WhyNotBlock(const Block& block);

// A value for every input, always the same.
TensorMap BlockInputs(const Graph& graph, const DimBinding& binding = {});
// Results of the block; a test failure where the two policies differ.
std::vector<EvalTensor> EvaluateBoth(const Block& block);
int CountOps(const Graph& graph, OpKind op);

}  // namespace rlx
