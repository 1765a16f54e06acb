// SPDX-License-Identifier: Apache-2.0
// fuse_attention_block and fuse_transformer_layer.
#include "runtime/ir/op_info.h"
#include "tests/unit/passes/pass_test.h"

namespace rlx::passes {
namespace {

using ::testing::HasSubstr;

// Heads as slices of the last axis; `tail` goes on from the output projection's product, %9.
std::string Interleaved(std::string_view tail, std::string_view mask = "none") {
  return Cat(R"(mir "m" {
    %0 = input "x" : f32[2,3,8]
    %1 = param "q_w" : f32[8,4]
    %2 = param "k_w" : f32[8,4]
    %3 = param "v_w" : f32[8,4]
    %4 = param "o_w" : f32[4,8]
    %5 = matmul(%0, %1)
    %6 = matmul(%0, %2)
    %7 = matmul(%0, %3)
    %8 = attention(%5, %6, %7) {num_heads = 2, head_dim = 2, mask = ")",
             mask, R"("}
    %9 = matmul(%8, %4)
    )",
             tail, "\n}");
}

TEST(FuseAttentionBlock, JoinsThreeProjections) {
  ExpectRewrite(FuseAttentionBlock, Interleaved("output \"y\" = %9", "causal"),
                R"(mir "m" {
    %0 = input "x" : f32[2,3,8]
    %1 = param "q_w" : f32[8,4]
    %2 = param "k_w" : f32[8,4]
    %3 = param "v_w" : f32[8,4]
    %4 = param "o_w" : f32[4,8]
    %5 = concat(%1, %2, %3) {axis = 1}
    %6 = fused_attention_block(%0, %5, %4) {num_heads = 2, head_dim = 2, mask = "causal"}
    output "y" = %6
  })");
}

// Heads first: reshape and transpose on the way in, back on the way out; queries and keys rotate.
// k has no bias (as in Whisper): it gets zeros.
constexpr std::string_view kHeadsFirst = R"(mir "m" {
    %0 = input "x" : f32[2,3,8]
    %1 = param "q_w" : f32[8,8]
    %2 = param "q_b" : f32[8]
    %3 = param "k_w" : f32[8,4]
    %4 = param "v_w" : f32[8,4]
    %5 = param "v_b" : f32[1,4]
    %6 = param "o_w" : f32[8,5]
    %7 = param "o_b" : f32[5]
    %8 = param "cos" : f32[7,1]
    %9 = param "sin" : f32[7,1]
    %10 = input "keep" : bool[2,1,1,3]
    %11 = matmul(%0, %1)
    %12 = add(%11, %2)
    %13 = reshape(%12) {shape = [2,3,4,2]}
    %14 = transpose(%13) {perm = [0,2,1,3]}
    %15 = rope(%14, %8, %9) {head_dim = 2}
    %16 = matmul(%0, %3)
    %17 = reshape(%16) {shape = [2,3,2,2]}
    %18 = transpose(%17) {perm = [0,2,1,3]}
    %19 = rope(%18, %8, %9) {head_dim = 2}
    %20 = reshape(%5) {shape = [4]}
    %21 = fused_matmul_bias_act(%0, %4, %20) {has_bias = true}
    %22 = reshape(%21) {shape = [2,3,2,2]}
    %23 = transpose(%22) {perm = [0,2,1,3]}
    %24 = attention(%15, %19, %23, %10)
        {num_heads = 4, num_kv_heads = 2, head_dim = 2, mask = "keep", softcap = 5.0}
    %25 = transpose(%24) {perm = [0,2,1,3]}
    %26 = reshape(%25) {shape = [2,3,8]}
    %27 = matmul(%26, %6)
    %28 = add(%7, %27)
    output "y" = %28
  })";

TEST(FuseAttentionBlock, ReadsHeadsThatAreSplitAndRotated) {
  const Outcome outcome = RunPass(FuseAttentionBlock, kHeadsFirst);
  ASSERT_TRUE(outcome.changed) << outcome.text;
  const Node& block = outcome.graph.node(outcome.graph.size() - 1);
  ASSERT_EQ(block.op, OpKind::kFusedAttentionBlock);
  EXPECT_EQ(block.operands.size(), 8u);  // x, qkv_w, qkv_b, out_w, out_b, cos, sin, mask
  EXPECT_TRUE(block.Bool("has_qkv_bias") && block.Bool("has_out_bias") && block.Bool("has_rope"));
  EXPECT_EQ(block.Float("softcap"), 5.0);
  for (const Node& node : outcome.graph.nodes()) {
    EXPECT_NE(node.op, OpKind::kAttention);
    EXPECT_NE(node.op, OpKind::kMatMul);
  }
  ASSERT_EQ(outcome.remarks.size(), 1u);
  EXPECT_EQ(outcome.remarks[0].rule, "attention_block");
  EXPECT_GT(outcome.remarks[0].bytes_saved, 0);
}

// q, k and v as slices of one product: its weight is the block's.
TEST(FuseAttentionBlock, TakesAJointProjectionAsItIs) {
  ExpectRewrite(FuseAttentionBlock, R"(mir "m" {
    %0 = input "x" : f32[2,3,8]
    %1 = param "qkv_w" : f32[8,12]
    %2 = param "qkv_b" : f32[12]
    %3 = param "o_w" : f32[4,8]
    %4 = fused_matmul_bias_act(%0, %1, %2) {has_bias = true}
    %5 = narrow(%4) {axis = 2, start = 0, length = 4}
    %6 = narrow(%4) {axis = 2, start = 4, length = 4}
    %7 = narrow(%4) {axis = 2, start = 8, length = 4}
    %8 = attention(%5, %6, %7) {num_heads = 2, head_dim = 2}
    %9 = matmul(%8, %3)
    output "y" = %9
  })",
                R"(mir "m" {
    %0 = input "x" : f32[2,3,8]
    %1 = param "qkv_w" : f32[8,12]
    %2 = param "qkv_b" : f32[12]
    %3 = param "o_w" : f32[4,8]
    %4 = fused_attention_block(%0, %1, %2, %3)
        {num_heads = 2, head_dim = 2, has_qkv_bias = true}
    output "y" = %4
  })");
}

// Slices in another order: the weight's columns are put in order when it is bound.
TEST(FuseAttentionBlock, ReordersAJointProjection) {
  const Outcome outcome = RunPass(FuseAttentionBlock, R"(mir "m" {
    %0 = input "x" : f32[2,3,8]
    %1 = param "kqv_w" : f32[8,12]
    %2 = param "o_w" : f32[4,8]
    %3 = matmul(%0, %1)
    %4 = narrow(%3) {axis = 2, start = 4, length = 4}
    %5 = narrow(%3) {axis = 2, start = 0, length = 4}
    %6 = narrow(%3) {axis = 2, start = 8, length = 4}
    %7 = attention(%4, %5, %6) {num_heads = 2, head_dim = 2}
    %8 = matmul(%7, %2)
    output "y" = %8
  })");
  EXPECT_TRUE(outcome.changed);
  EXPECT_EQ(outcome.graph.nodes().back().op, OpKind::kFusedAttentionBlock);
}

struct Refused {
  std::string_view name, tail, reason, message;
};
constexpr Refused kRefused[] = {
    {"output", "output \"y\" = %9 output \"heads\" = %8", "attention_no_projection", ""},
    {"scores", "output \"y\" = %9 output \"k\" = %6", "graph_output",
     "%6 (matmul) is an output of the module"},
    {"reader", "%10 = exp(%7) output \"y\" = %9 output \"z\" = %10", "multi_consumer",
     "%7 (matmul) is read by %10 (exp) too"},
};

TEST(FuseAttentionBlock, LeavesValuesThatOthersNeed) {
  for (const Refused& refused : kRefused) {
    SCOPED_TRACE(refused.name);
    const Outcome outcome = RunPass(FuseAttentionBlock, Interleaved(refused.tail));
    EXPECT_FALSE(outcome.changed);
    ASSERT_EQ(outcome.Missed().size(), 1u);
    EXPECT_EQ(outcome.Missed()[0].reason, refused.reason);
    EXPECT_THAT(outcome.Missed()[0].message, HasSubstr(std::string(refused.message)));
  }
}

TEST(FuseAttentionBlock, LeavesCrossAttentionAndWeightsThatArrive) {
  const std::string self = Interleaved("output \"y\" = %9");
  const Outcome cross = RunPass(FuseAttentionBlock, R"(mir "m" {
    %0 = input "x" : f32[2,3,8]
    %1 = input "memory" : f32[2,5,8]
    %2 = param "w" : f32[8,4]
    %3 = param "o_w" : f32[4,8]
    %4 = matmul(%0, %2)
    %5 = matmul(%1, %2)
    %6 = matmul(%1, %2)
    %7 = attention(%4, %5, %6) {num_heads = 2, head_dim = 2}
    %8 = matmul(%7, %3)
    output "y" = %8
  })");
  EXPECT_FALSE(cross.changed);
  EXPECT_EQ(cross.Missed().at(0).reason, "attention_not_shared_input");
  std::string arriving = self;
  arriving.replace(arriving.find("param \"k_w\""), 11, "input \"k_w\"");
  EXPECT_EQ(RunPass(FuseAttentionBlock, arriving).Missed().at(0).reason, "weight_not_constant");
}

// Queries alone rotate.
TEST(FuseAttentionBlock, LeavesUnevenRotation) {
  const Outcome outcome = RunPass(FuseAttentionBlock, R"(mir "m" {
    %0 = input "x" : f32[2,3,4]
    %1 = param "w" : f32[4,4]
    %2 = param "t" : f32[3,1]
    %3 = matmul(%0, %1)
    %4 = rope(%3, %2, %2) {head_dim = 2}
    %5 = matmul(%0, %1)
    %6 = matmul(%0, %1)
    %7 = attention(%4, %5, %6) {num_heads = 2, head_dim = 2}
    %8 = matmul(%7, %1)
    output "y" = %8
  })");
  EXPECT_FALSE(outcome.changed);
  EXPECT_EQ(outcome.Missed().at(0).reason, "attention_other_form");
}

TEST(FuseAttentionBlock, AsksTheBackEndFirst) {
  PassContext context;
  context.runs = [](const Graph& graph, NodeId id) {
    return graph.node(id).op != OpKind::kFusedAttentionBlock;
  };
  const Outcome outcome =
      RunPass(FuseAttentionBlock, Interleaved("output \"y\" = %9"), std::move(context));
  EXPECT_FALSE(outcome.changed);
  EXPECT_EQ(outcome.Missed().at(0).reason, "backend_refuses");
}

// An encoder layer over a block; `h` and `sum` are what follows.
std::string Encoder(std::string_view tail) {
  return Cat(R"(mir "m" {
    %0 = input "x" : f32[2,3,8]
    %1 = param "qkv_w" : f32[8,12]
    %2 = param "o_w" : f32[4,8]
    %3 = param "g1" : f32[8]
    %4 = param "b1" : f32[8]
    %5 = param "fc1" : f32[8,6]
    %6 = param "fc1_b" : f32[6]
    %7 = param "fc2" : f32[6,8]
    %8 = param "g2" : f32[8]
    %9 = param "b2" : f32[8]
    %10 = fused_attention_block(%0, %1, %2) {num_heads = 2, head_dim = 2}
    %11 = add(%0, %10)
    %12 = layer_norm(%11, %3, %4) {eps = 1e-12}
    %13 = matmul(%12, %5)
    %14 = add(%13, %6)
    %15 = gelu(%14)
    %16 = matmul(%15, %7)
    )",
             tail, "\n}");
}

TEST(FuseTransformerLayer, TakesBothHalves) {
  const Outcome outcome = RunPass(FuseTransformerLayer, Encoder(R"(
    %17 = add(%16, %12)
    %18 = layer_norm(%17, %8, %9) {eps = 1e-5}
    output "y" = %18)"));
  ASSERT_TRUE(outcome.changed);
  const Node& layer = outcome.graph.nodes().back();
  ASSERT_EQ(layer.op, OpKind::kFusedTransformerLayer);
  EXPECT_EQ(layer.Float("eps1"), 1e-12);
  EXPECT_EQ(layer.Float("eps2"), 1e-5);
  EXPECT_EQ(layer.Str("activation"), "gelu");
  EXPECT_TRUE(layer.Bool("has_bias"));  // one of four; zeros for the others
  EXPECT_EQ(layer.operands.size(), 13u);
}

TEST(FuseTransformerLayer, ReadsNormsThatTookTheirSums) {
  const Outcome outcome = RunPass(FuseTransformerLayer, Encoder(R"(
    %17 = fused_residual_layer_norm(%12, %16, %8, %9)
    output "y" = %17)"));
  EXPECT_EQ(outcome.graph.nodes().back().op, OpKind::kFusedTransformerLayer);
}

TEST(FuseTransformerLayer, LeavesValuesThatOthersNeed) {
  const Outcome sum = RunPass(FuseTransformerLayer, Encoder(R"(
    %17 = fused_residual_layer_norm(%12, %16, %8, %9)
    output "y" = %17
    output "sum" = %17.1)"));
  EXPECT_FALSE(sum.changed);
  EXPECT_EQ(sum.Missed().at(0).reason, "multi_consumer");
  const Outcome inner = RunPass(FuseTransformerLayer, Encoder(R"(
    %17 = add(%16, %12)
    %18 = layer_norm(%17, %8, %9)
    output "y" = %18
    output "h" = %12)"));
  EXPECT_FALSE(inner.changed);
  EXPECT_EQ(inner.Missed().at(0).reason, "graph_output");
}

// A residual around the whole is not a post-norm layer, nor is one of another value.
TEST(FuseTransformerLayer, LeavesOtherResiduals) {
  ExpectUntouched(FuseTransformerLayer, Encoder(R"(
    %17 = add(%16, %0)
    %18 = layer_norm(%17, %8, %9)
    output "y" = %18)"));
  ExpectUntouched(FuseTransformerLayer, Encoder(R"(
    %17 = add(%16, %12)
    output "y" = %17)"));
}

}  // namespace
}  // namespace rlx::passes
