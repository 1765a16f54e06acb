// SPDX-License-Identifier: Apache-2.0
// Whole transformer layers as blocks: the numbers of their definition, fused under the direct
// policy, with sizes or symbols.
#include <gtest/gtest.h>

#include <cmath>

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

// One head's recurrence by its definition, token by token, from nothing or from a state.
TEST(HirGatedDeltaNet, MatchesItsDefinition) {
  constexpr int64_t kBatches = 2, kTokens = 4, kHeads = 2, kWidth = 3;
  for (const bool carry : {false, true}) {
    const Shape wide = {kBatches, kTokens, kHeads, kWidth}, gate = {kBatches, kTokens, kHeads};
    Block block{OpKind::kHirGatedDeltaNet,
                {{"q", F64(wide)},
                 {"k", F64(wide)},
                 {"v", F64(wide)},
                 {"g", F64(gate)},
                 {"beta", F64(gate)}},
                {}};
    if (carry) block.operands.push_back({"state", F64({kBatches, kHeads, kWidth, kWidth})});
    const auto got = EvaluateBoth(block);
    ASSERT_EQ(got.size(), 2u);
    const TensorMap in = BlockInputs(ModuleOf(block, FusionPolicy::kDirect)->graph);
    const auto at = [&](const char* name, int64_t row, int64_t i) {
      return in.at(name).ToDoubles()[row * kWidth + i];
    };
    for (int64_t b = 0; b < kBatches; ++b) {
      for (int64_t h = 0; h < kHeads; ++h) {
        double state[kWidth][kWidth] = {};
        for (int64_t i = 0; carry && i < kWidth; ++i) {
          for (int64_t j = 0; j < kWidth; ++j) {
            state[i][j] = at("state", (b * kHeads + h) * kWidth + i, j);
          }
        }
        for (int64_t t = 0; t < kTokens; ++t) {
          const int64_t row = (b * kTokens + t) * kHeads + h;
          const double decay = std::exp(in.at("g").ToDoubles()[row]);
          const double beta = in.at("beta").ToDoubles()[row];
          for (int64_t j = 0; j < kWidth; ++j) {
            double recalled = 0, out = 0;
            for (int64_t i = 0; i < kWidth; ++i) {
              recalled += (state[i][j] *= decay) * at("k", row, i);
            }
            const double step = (at("v", row, j) - recalled) * beta;
            for (int64_t i = 0; i < kWidth; ++i) {
              state[i][j] += at("k", row, i) * step;
              out += state[i][j] * at("q", row, i) / std::sqrt(kWidth);
            }
            EXPECT_NEAR(got[0].f[row * kWidth + j], out, 1e-12);
          }
        }
        for (int64_t i = 0; i < kWidth; ++i) {
          for (int64_t j = 0; j < kWidth; ++j) {
            EXPECT_NEAR(got[1].f[((b * kHeads + h) * kWidth + i) * kWidth + j], state[i][j], 1e-12);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace rlx
