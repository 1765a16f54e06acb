// SPDX-License-Identifier: Apache-2.0
// Blocks lower to the same numbers under both policies, in the ops that each policy promises.
#include "runtime/ir/lower_hir.h"

#include <gmock/gmock.h>

#include "runtime/base/status.h"
#include "runtime/base/text.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/verify.h"
#include "tests/unit/ir/hir_testing.h"

namespace rlx {
namespace {

using Ints = std::vector<int64_t>;
using testing::AllOf;
using testing::Field;
using testing::HasSubstr;

TEST(LowerHir, LinearIsOneFusedOpOrAChain) {
  const Block block = LinearBlock("gelu", true);
  const auto direct = LowerBlock(block, FusionPolicy::kDirect);
  const auto fusable = LowerBlock(block, FusionPolicy::kFusable);
  ASSERT_TRUE(direct.ok() && fusable.ok());
  EXPECT_EQ(direct->size(), 4);  // x, w, bias, fused
  EXPECT_EQ(CountOps(*direct, OpKind::kFusedMatMulBiasAct), 1);
  EXPECT_EQ(fusable->size(), 6);  // … matmul, add, gelu
  EXPECT_EQ(CountOps(*fusable, OpKind::kMatMul), 1);
  EvaluateBoth(block);
}

TEST(LowerHir, PlainLinearIsAMatMulUnderBothPolicies) {
  for (FusionPolicy policy : {FusionPolicy::kDirect, FusionPolicy::kFusable}) {
    const auto graph = LowerBlock(LinearBlock("none", false), policy);
    ASSERT_TRUE(graph.ok());
    EXPECT_EQ(graph->size(), 3);
    EXPECT_EQ(CountOps(*graph, OpKind::kMatMul), 1);
  }
}

TEST(LowerHir, EveryActivationAgreesUnderBothPolicies) {
  for (const char* name : {"none", "relu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh"}) {
    EvaluateBoth(LinearBlock(name, true));
    EvaluateBoth(LinearBlock(name, false));
  }
}

TEST(LowerHir, LinearFusedIsFusedUnderBothPolicies) {
  Block block = LinearBlock("silu", true);
  block.op = OpKind::kHirLinearFused;
  for (FusionPolicy policy : {FusionPolicy::kDirect, FusionPolicy::kFusable}) {
    const auto graph = LowerBlock(block, policy);
    ASSERT_TRUE(graph.ok());
    EXPECT_EQ(CountOps(*graph, OpKind::kFusedMatMulBiasAct), 1);
  }
}

TEST(LowerHir, SharedLinearPairJoinsItsWeights) {
  const Block block{OpKind::kHirSharedLinearPair,
                    {{"x", F64({3, 4})}, {"first", F64({4, 5})}, {"second", F64({4, 2})}},
                    {}};
  const auto direct = LowerBlock(block, FusionPolicy::kDirect);
  ASSERT_TRUE(direct.ok());
  EXPECT_EQ(CountOps(*direct, OpKind::kMatMul), 1);
  const auto fusable = LowerBlock(block, FusionPolicy::kFusable);
  ASSERT_TRUE(fusable.ok());
  EXPECT_EQ(CountOps(*fusable, OpKind::kMatMul), 2);
  const auto out = EvaluateBoth(block);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].dims, (Ints{3, 5}));
  EXPECT_EQ(out[1].dims, (Ints{3, 2}));
}

TEST(LowerHir, SwigluNodeCounts) {
  const auto direct = LowerBlock(SwigluBlock(), FusionPolicy::kDirect);
  const auto fusable = LowerBlock(SwigluBlock(), FusionPolicy::kFusable);
  ASSERT_TRUE(direct.ok() && fusable.ok());
  EXPECT_EQ(CountOps(*direct, OpKind::kFusedSwiglu), 1);
  EXPECT_EQ(CountOps(*direct, OpKind::kMatMul), 2);
  EXPECT_EQ(CountOps(*fusable, OpKind::kMatMul), 3);
  EXPECT_EQ(fusable->size(), 9);
  EvaluateBoth(SwigluBlock());
}

TEST(LowerHir, ResidualNormsGiveNormAndSum) {
  for (OpKind op : {OpKind::kHirResidualRmsNorm, OpKind::kHirResidualLayerNorm}) {
    const Block block{
        op,
        {{"x", F64({3, 4})}, {"residual", F64({3, 4})}, {"gamma", F64({4})}, {"beta", F64({4})}},
        {}};
    const auto direct = LowerBlock(block, FusionPolicy::kDirect);
    ASSERT_TRUE(direct.ok()) << Message(direct.status());
    EXPECT_EQ(direct->size(), 5);
    EXPECT_EQ(EvaluateBoth(block).size(), 2u);
  }
}

TEST(LowerHir, NodesSayWhereTheyCameFrom) {
  const auto graph = LowerBlock(LinearBlock("gelu", true), FusionPolicy::kFusable);
  ASSERT_TRUE(graph.ok());
  for (NodeId id = 3; id < graph->size(); ++id) {
    EXPECT_THAT(
        graph->node(id).sources,
        testing::ElementsAre(AllOf(Field(&SourceRef::kind, SourceRef::Kind::kHir),
                                   Field(&SourceRef::id, 3), Field(&SourceRef::name, "block"))));
  }
}

TEST(LowerHir, CopiesMirOpsAndTheSignature) {
  Module module{Stage::kHir, FusionPolicy::kDirect, {}};
  GraphBuilder b(module.graph);
  const Value x = b.Input("x", F64({2, 4})), unused = b.Input("unused", F64({1}));
  EXPECT_TRUE(unused.valid());
  const Value w = b.Param("w", F64({4, 4}));
  const Value y = b.Emit(OpKind::kHirLinear, {b.Unary(OpKind::kTanh, x), w});
  b.Output("y", b.Add(y, x));
  ASSERT_TRUE(b.status().ok()) << Message(b.status());
  const auto graph = LowerHir(module);
  ASSERT_TRUE(graph.ok()) << Message(graph.status());
  EXPECT_EQ(graph->inputs().size(), 2u);
  EXPECT_EQ(graph->params().size(), 1u);
  EXPECT_EQ(CountOps(*graph, OpKind::kTanh), 1);
  EXPECT_EQ(CountOps(*graph, OpKind::kAdd), 1);
  EXPECT_EQ(graph->outputs()[0].name, "y");
  EXPECT_TRUE(VerifyGraph(*graph).ok());
}

TEST(LowerHir, RefusesOtherStages) {
  EXPECT_THAT(std::string(Message(LowerHir(Module{}).status())), HasSubstr("not at the hir stage"));
}

TEST(HirBlocks, SayWhatIsWrong) {
  EXPECT_THAT(WhyNotBlock({OpKind::kHirLinear, {{"x", F64({2, 4})}, {"w", F64({5, 3})}}, {}}),
              HasSubstr("w is f64[5,3] where f64[4,3] is needed"));
  LlamaSize size;
  size.kv_heads = 3;
  EXPECT_THAT(WhyNotBlock(LlamaBlock(size)),
              HasSubstr("num_heads 4 is not a multiple of num_kv_heads 3"));
  size = {};
  size.table = 4;
  EXPECT_THAT(WhyNotBlock(LlamaBlock(size)), HasSubstr("cos has 4 rows for a sequence of 5"));
  Block block = LlamaBlock({});
  block.attrs[3].value = int64_t{3};
  EXPECT_THAT(WhyNotBlock(block), HasSubstr("n_rot 3 is odd"));
  block = LlamaBlock({});
  block.operands[2].second = F64({10, 20});
  EXPECT_THAT(WhyNotBlock(block), HasSubstr("q_w is f64[10,20] where f64[10,24] is needed"));
  block = LlamaBlock({});
  block.attrs[6].value = true;  // norm_bias without the betas
  EXPECT_THAT(WhyNotBlock(block), HasSubstr("has 12 operands where 14 are needed"));
  block = BertBlock(true);
  block.operands[1].second = {DType::kBool, {2, 5}};
  EXPECT_THAT(WhyNotBlock(block), HasSubstr("mask is bool[2,5], which does not broadcast"));
}

}  // namespace
}  // namespace rlx
