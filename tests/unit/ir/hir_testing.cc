// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/ir/hir_testing.h"

#include <gtest/gtest.h>

#include "runtime/base/status.h"
#include "runtime/base/text.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/verify.h"

namespace rlx {

TensorType F64(Shape shape) { return {DType::kF64, std::move(shape)}; }

absl::StatusOr<Module> ModuleOf(const Block& block, FusionPolicy policy) {
  Module module{Stage::kHir, policy, {}};
  GraphBuilder b(module.graph, policy);
  std::vector<Value> operands;
  for (const auto& [name, type] : block.operands) operands.push_back(b.Input(name, type));
  const std::vector<Value> results = b.EmitAll(block.op, operands, block.attrs);
  RLX_TRY(b.status());
  module.graph.node(results[0].node).name = "block";
  for (size_t i = 0; i < results.size(); ++i) b.Output(Cat("out", i), results[i]);
  RLX_TRY(b.status());
  return module;
}

absl::StatusOr<Graph> LowerBlock(const Block& block, FusionPolicy policy) {
  RLX_ASSIGN(const Module module, ModuleOf(block, policy));
  RLX_TRY(Verify(module));
  RLX_ASSIGN(Graph graph, LowerHir(module));
  RLX_TRY(VerifyGraph(graph));
  return graph;
}

std::string WhyNotBlock(const Block& block) {
  const auto module = ModuleOf(block, FusionPolicy::kDirect);
  return module.ok() ? "" : std::string(Message(module.status()));
}

TensorMap BlockInputs(const Graph& graph, const DimBinding& binding) {
  Rng rng(29);
  TensorMap inputs;
  for (NodeId id : graph.inputs()) {
    const Node& node = graph.node(id);
    const TensorType type = node.results[0].Bind(binding);
    if (type.dtype == DType::kF64) {
      inputs[node.name] = RandomF64(rng, type.StaticDims(), -0.7, 0.7);
      continue;
    }
    std::vector<int64_t> values;  // bools, and positions that differ from the index
    for (int64_t k = 0; k < *type.NumElements(); ++k) {
      values.push_back(type.dtype == DType::kBool ? k % 3 != 1 : k + 2);
    }
    inputs[node.name] = HostTensor::FromInts(type.dtype, type.StaticDims(), values);
  }
  return inputs;
}

int CountOps(const Graph& graph, OpKind op) {
  int count = 0;
  for (const Node& node : graph.nodes()) count += node.op == op;
  return count;
}

std::vector<EvalTensor> EvaluateBoth(const Block& block) {
  const auto direct = LowerBlock(block, FusionPolicy::kDirect);
  const auto fusable = LowerBlock(block, FusionPolicy::kFusable);
  EXPECT_TRUE(direct.ok()) << Message(direct.status());
  EXPECT_TRUE(fusable.ok()) << Message(fusable.status());
  if (!direct.ok() || !fusable.ok()) return {};
  const auto a = Evaluate(*direct, BlockInputs(*direct));
  const auto b = Evaluate(*fusable, BlockInputs(*fusable));
  EXPECT_TRUE(a.ok()) << Message(a.status());
  EXPECT_TRUE(b.ok()) << Message(b.status());
  if (!a.ok() || !b.ok()) return {};
  for (size_t i = 0; i < a->size(); ++i) EXPECT_LT(MaxDifference((*a)[i], (*b)[i]), 1e-12);
  return *a;
}

Block LinearBlock(std::string activation, bool bias) {
  Block block{OpKind::kHirLinear,
              {{"x", F64({2, 3, 4})}, {"w", F64({4, 5})}},
              {{"activation", std::move(activation)}}};
  if (bias) block.operands.push_back({"bias", F64({5})});
  return block;
}

Block SwigluBlock() {
  return {OpKind::kHirSwiglu,
          {{"x", F64({3, 4})}, {"up", F64({4, 6})}, {"gate", F64({4, 6})}, {"down", F64({6, 4})}},
          {}};
}

Block LlamaBlock(const LlamaSize& n, bool betas, bool positions, std::string mask) {
  Block block{OpKind::kHirLlamaDecoderBlock,
              {{"x", F64({n.batch, n.seq, n.hidden})}, {"ln1_g", F64({n.hidden})}},
              {{"num_heads", n.heads},
               {"num_kv_heads", n.kv_heads},
               {"head_dim", n.head_dim},
               {"n_rot", int64_t{4}},
               {"eps", 1e-5},
               {"mask", mask},
               {"norm_bias", betas},
               {"has_positions", positions}}};
  auto add = [&](std::string name, Shape shape) {
    block.operands.push_back({std::move(name), F64(std::move(shape))});
  };
  if (betas) add("ln1_b", {n.hidden});
  add("q_w", {n.hidden, n.heads * n.head_dim});
  add("k_w", {n.hidden, n.kv_heads * n.head_dim});
  add("v_w", {n.hidden, n.kv_heads * n.head_dim});
  add("o_w", {n.heads * n.head_dim, n.hidden});
  add("ln2_g", {n.hidden});
  if (betas) add("ln2_b", {n.hidden});
  add("gate_w", {n.hidden, n.inner});
  add("up_w", {n.hidden, n.inner});
  add("down_w", {n.inner, n.hidden});
  add("cos", {n.table, 2});
  add("sin", {n.table, 2});
  if (mask == "keep") block.operands.push_back({"mask", {DType::kBool, {n.batch, n.seq}}});
  if (positions) block.operands.push_back({"positions", {DType::kI32, {n.seq}}});
  return block;
}

Block BertBlock(bool mask) {
  const int64_t hidden = 8, width = 12, inner = 9;
  Block block{OpKind::kHirBertEncoderBlock,
              {{"x", F64({2, 4, hidden})}},
              {{"num_heads", int64_t{3}}, {"head_dim", int64_t{4}}, {"eps", 1e-12}}};
  auto add = [&](std::string name, Shape shape) {
    block.operands.push_back({std::move(name), F64(std::move(shape))});
  };
  if (mask) {
    block.attrs.push_back({"mask", std::string("keep")});
    block.operands.push_back({"mask", {DType::kBool, {2, 4}}});
  }
  for (const char* name : {"q", "k", "v"}) {
    add(Cat(name, "_w"), {hidden, width});
    add(Cat(name, "_b"), {width});
  }
  add("o_w", {width, hidden});
  for (const char* name : {"o_b", "ln1_g", "ln1_b"}) add(name, {hidden});
  add("ffn1_w", {hidden, inner});
  add("ffn1_b", {inner});
  add("ffn2_w", {inner, hidden});
  for (const char* name : {"ffn2_b", "ln2_g", "ln2_b"}) add(name, {hidden});
  return block;
}

}  // namespace rlx
