// SPDX-License-Identifier: Apache-2.0
// Whole transformer layers as blocks: the numbers of their definition, fused under the direct
// policy, with sizes or symbols.
#include <gtest/gtest.h>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/verify.h"
#include "tests/unit/ir/hir_reference.h"
#include "tests/unit/ir/hir_testing.h"

namespace rlx {
namespace {

void ExpectBatchNear(const EvalTensor& got, int64_t batch, const Matrix& want) {
  const int64_t size = want.rows * want.columns;
  for (int64_t k = 0; k < size; ++k) {
    ASSERT_NEAR(got.f[batch * size + k], want.at[k], 1e-10) << batch << " " << k;
  }
}

TEST(HirLayers, LlamaMatchesItsDefinition) {
  for (bool positions : {false, true}) {
    const Block block = LlamaBlock({}, false, positions);
    const auto out = EvaluateBoth(block);
    ASSERT_EQ(out.size(), 1u);
    const auto module = ModuleOf(block, FusionPolicy::kDirect);
    const TensorMap inputs = BlockInputs(module->graph);
    for (int64_t b = 0; b < 2; ++b) {
      ExpectBatchNear(out[0], b, ExpectedLlama(inputs, b, 6, positions ? 2 : 0));
    }
  }
}

TEST(HirLayers, LlamaTakesBetasAndMasks) {
  EvaluateBoth(LlamaBlock({}, true));
  EvaluateBoth(LlamaBlock({}, true, true, "keep"));
}

TEST(HirLayers, DirectLlamaIsFused) {
  const auto graph = LowerBlock(LlamaBlock({}), FusionPolicy::kDirect);
  ASSERT_TRUE(graph.ok());
  EXPECT_EQ(CountOps(*graph, OpKind::kAttention), 1);
  EXPECT_EQ(CountOps(*graph, OpKind::kRope), 2);
  EXPECT_EQ(CountOps(*graph, OpKind::kMatMul), 3);              // qkv, o, gate and up
  EXPECT_EQ(CountOps(*graph, OpKind::kFusedMatMulBiasAct), 1);  // down + residual
  EXPECT_EQ(CountOps(*graph, OpKind::kFusedResidualRmsNorm), 1);
  EXPECT_EQ(CountOps(*graph, OpKind::kFusedSwiglu), 1);
  EXPECT_EQ(CountOps(*graph, OpKind::kExpand), 0);
}

TEST(HirLayers, BertMatchesItsDefinition) {
  for (bool mask : {false, true}) {
    const Block block = BertBlock(mask);
    const auto out = EvaluateBoth(block);
    ASSERT_EQ(out.size(), 1u);
    const auto module = ModuleOf(block, FusionPolicy::kDirect);
    const TensorMap inputs = BlockInputs(module->graph);
    for (int64_t b = 0; b < 2; ++b) ExpectBatchNear(out[0], b, ExpectedBert(inputs, b, mask));
  }
}

TEST(HirLayers, SymbolicBlocksBindLater) {
  LlamaSize symbolic;
  symbolic.batch = Dim::Symbol(kBatch);
  symbolic.seq = Dim::Symbol(kSeq);
  const DimBinding binding = {{std::string(kBatch), 2}, {std::string(kSeq), 5}};
  const auto want = EvaluateBoth(LlamaBlock({}));
  ASSERT_EQ(want.size(), 1u);
  for (FusionPolicy policy : {FusionPolicy::kDirect, FusionPolicy::kFusable}) {
    const auto graph = LowerBlock(LlamaBlock(symbolic), policy);
    ASSERT_TRUE(graph.ok()) << Message(graph.status());
    const auto bound = BindSymbols(*graph, binding);
    ASSERT_TRUE(bound.ok()) << Message(bound.status());
    const auto got = Evaluate(*bound, BlockInputs(*bound));
    ASSERT_TRUE(got.ok()) << Message(got.status());
    EXPECT_LT(MaxDifference((*got)[0], want[0]), 1e-12);
  }
}

TEST(HirLayers, SymbolicPartsBindLater) {
  LlamaSize symbolic;
  symbolic.batch = Dim::Symbol(kBatch);
  symbolic.seq = Dim::Symbol(kSeq);
  const auto graph = LowerBlock(LlamaBlock(symbolic), FusionPolicy::kFusable);
  ASSERT_TRUE(graph.ok());
  Graph parts;
  GraphBuilder b(parts);
  std::vector<std::vector<Value>> map;
  for (Node node : graph->nodes()) {
    for (Value& v : node.operands) v = map[v.node][v.result];
    const OpInfo& info = Info(node.op);
    if (IsLeaf(node.op)) {
      map.push_back({{parts.Add(node)}});
    } else if (info.decompose) {
      const auto values = info.decompose(b, node);
      ASSERT_TRUE(values.ok()) << Message(values.status());
      map.push_back(*values);
    } else {
      map.push_back(b.Clone(node, node.operands));
    }
  }
  b.Output("out0", map.back()[0]);
  ASSERT_TRUE(b.status().ok()) << Message(b.status());
  EXPECT_EQ(CountOps(parts, OpKind::kAttention) + CountOps(parts, OpKind::kRope), 0);
  const auto bound = BindSymbols(parts, {{std::string(kBatch), 2}, {std::string(kSeq), 5}});
  ASSERT_TRUE(bound.ok()) << Message(bound.status());
  const auto got = Evaluate(*bound, BlockInputs(*bound));
  ASSERT_TRUE(got.ok()) << Message(got.status());
  const auto want = EvaluateBoth(LlamaBlock({}));
  EXPECT_LT(MaxDifference((*got)[0], want[0]), 1e-10);
}

}  // namespace
}  // namespace rlx
