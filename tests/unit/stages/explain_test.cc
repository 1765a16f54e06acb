// SPDX-License-Identifier: Apache-2.0
#include "runtime/stages/explain.h"

#include <gmock/gmock.h>

#include "tests/unit/stages/models.h"

namespace rlx::stages {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

Explanation ExplainOrFail(const Module& module, CompileOptions options = {}) {
  CompileRequest request;
  request.options = std::move(options);
  absl::StatusOr<Explanation> explained = Explain(module, request);
  EXPECT_TRUE(explained.ok()) << explained.status();
  return explained.ok() ? *std::move(explained) : Explanation();
}

OpKind OpOf(const Explanation& explained, NodeId lir) {
  return explained.result.lir.graph.node(lir).op;
}

// One node of each fate, with sources of the author's own.
constexpr std::string_view kFates = R"(mir "fates" {
  %0 = input "x" : f32[4,8]
  %1 = param "w" : f32[8,8]
  %2 = param "b" : f32[8]
  %3 = constant {value = f32[8] (1,1,1,1,1,1,1,1)} : f32[8]
  %4 = constant {value = f32[8] (2,2,2,2,2,2,2,2)} : f32[8]
  %5 = mul (%3, %4) : f32[8] from onnx 7 "twos"
  %6 = matmul "product" (%0, %1) : f32[4,8]
  %7 = add (%6, %2) : f32[4,8]
  %8 = relu (%7) : f32[4,8]
  %9 = neg (%0) : f32[4,8]
  %10 = mul (%8, %5) : f32[4,8]
  %11 = softmax (%10) {axis = 1} : f32[4,8]
  %12 = reshape (%11) {shape = [32]} : f32[32]
  output "y" = %11
  output "flat" = %12
})";

TEST(Explain, TellsTheFateOfEachNode) {
  const Explanation out = ExplainOrFail(ParseOrFail(kFates));
  ASSERT_EQ(out.fates.size(), 13u);
  EXPECT_EQ(out.fates[0].fate, Fate::kKept);
  // The product takes bias and activation along.
  for (NodeId id : {6, 7, 8}) {
    EXPECT_EQ(out.fates[id].fate, Fate::kFused) << id;
    EXPECT_EQ(out.fates[id].pass, "fuse_matmul_bias_act");
    EXPECT_EQ(out.fates[id].rule, "matmul_bias_act");
    ASSERT_EQ(out.fates[id].became.size(), 1u);
    EXPECT_EQ(OpOf(out, out.fates[id].became[0]), OpKind::kFusedMatMulBiasAct);
  }
  EXPECT_EQ(out.fates[5].fate, Fate::kFolded);
  EXPECT_EQ(out.fates[9].fate, Fate::kDead);
  EXPECT_EQ(out.fates[9].pass, "dead_code_elimination");
  EXPECT_THAT(out.fates[9].became, IsEmpty());
  EXPECT_EQ(out.fates[10].fate, Fate::kKept);
  EXPECT_EQ(out.fates[11].fate, Fate::kKept);
}

TEST(Explain, PutsRemarksAtTheirNodesAndKeepsTheAuthorsSources) {
  const Explanation out = ExplainOrFail(ParseOrFail(kFates));
  ASSERT_EQ(out.remark_nodes.size(), out.result.fusion.remarks.size());
  bool found = false;
  for (size_t r = 0; r < out.remark_nodes.size(); ++r) {
    const Remark& remark = out.result.fusion.remarks[r];
    if (remark.rule == "constant_folding") {
      EXPECT_THAT(out.remark_nodes[r], ElementsAre(5));
      EXPECT_THAT(remark.sources, ElementsAre(SourceRef{SourceRef::Kind::kOnnx, 7, "twos"}));
    }
    if (remark.rule != "matmul_bias_act") continue;
    found = true;
    EXPECT_THAT(out.remark_nodes[r], ElementsAre(6, 7, 8));
    EXPECT_EQ(remark.sources.front(), (SourceRef{SourceRef::Kind::kMir, 6, "product"}));
  }
  EXPECT_TRUE(found);
}

TEST(Explain, EveryNodeOfTheResultKnowsWhatItWasMadeFrom) {
  for (std::string_view policy : {"", "fusable"}) {
    const Explanation out = ExplainOrFail(LlamaBlock(policy));
    const Graph& lir = out.result.lir.graph;
    ASSERT_EQ(out.made_from.size(), static_cast<size_t>(lir.size()));
    for (NodeId id = 0; id < lir.size(); ++id) {
      for (NodeId from : out.made_from[id]) {
        EXPECT_THAT(out.fates[from].became, ::testing::Contains(id));
      }
      EXPECT_THAT(lir.node(id).sources, Not(IsEmpty())) << policy << " " << id;
    }
    for (NodeId id = 0; id < out.mir.size(); ++id) {
      if (out.fates[id].fate >= Fate::kFolded) continue;
      EXPECT_THAT(out.fates[id].became, Not(IsEmpty())) << policy << " " << id;
    }
  }
}

TEST(Explain, MergedAndDecomposedNodesAreSaidToBe) {
  const Module module = ParseOrFail(R"(mir "m" {
    %0 = input "x" : f32[4,8]
    %1 = param "w" : f32[8,8]
    %2 = transpose (%1) {perm = [1,0]} : f32[8,8]
    %3 = transpose (%1) {perm = [1,0]} : f32[8,8]
    %4 = matmul (%0, %2) : f32[4,8]
    %5 = softmax (%4) {axis = 1} : f32[4,8]
    %6 = matmul (%5, %3) : f32[4,8]
    output "y" = %6
  })");
  CompileOptions options;
  options.kernel_dispatch.force_common_kinds = {{"Softmax"}};
  const Explanation out = ExplainOrFail(module, options);
  EXPECT_EQ(out.fates[5].fate, Fate::kDecomposed);
  EXPECT_EQ(out.fates[5].rule, "decompose");
  EXPECT_GT(out.fates[5].became.size(), 2u);
  // One transposed weight serves both products.
  EXPECT_EQ(out.fates[2].became, out.fates[3].became);
}

// A loop whose body has something to fuse, something to miss and something to fold.
constexpr std::string_view kLoop = R"(mir "loop" {
  %0 = input "x" : f32[8,8]
  %1 = input "xs" : f32[500,8]
  %2 = param "w" : f32[8,8]
  %3 = param "b" : f32[8]
  %4 = scan (%0, %2, %3, %1) {carries = 1, sequences = 1, length = [500]} graph "" {
    %0 = input "" : f32[8,8]
    %1 = input "" : f32[8,8]
    %2 = input "" : f32[8]
    %3 = input "" : f32[8]
    %4 = matmul "inner" (%0, %1)
    %5 = add (%4, %2)
    %6 = gelu (%5)
    %7 = matmul (%6, %1)
    %8 = exp (%7)
    %9 = add (%7, %2)
    %10 = mul (%9, %8)
    %11 = constant {value = f32[8] (1,1,1,1,1,1,1,1)}
    %12 = exp (%11)
    %13 = add (%10, %12)
    %14 = add (%13, %3)
    output "o" = %14
  }
  output "y" = %4
})";

TEST(Explain, TellsTheFateOfNodesInBodies) {
  const Explanation out = ExplainOrFail(ParseOrFail(kLoop));
  ASSERT_EQ(out.fates.size(), 20u);  // 5, and 15 in the body
  const auto in_body = [](NodeId id) { return 5 + id; };
  EXPECT_EQ(out.fates[4].fate, Fate::kKept);
  for (NodeId id : {4, 5, 6}) {
    EXPECT_EQ(out.fates[in_body(id)].fate, Fate::kFused) << id;
    EXPECT_EQ(out.fates[in_body(id)].rule, "matmul_bias_act") << id;
  }
  EXPECT_EQ(out.fates[in_body(12)].fate, Fate::kFolded);
  EXPECT_EQ(out.fates[in_body(12)].pass, "constant_folding");
  EXPECT_EQ(out.result.fusion.nodes_before, 20);
  EXPECT_EQ(static_cast<size_t>(out.result.fusion.nodes_after), out.made_from.size());
  EXPECT_EQ(out.result.fusion.ops_before.at("matmul"), 2);
  bool missed = false;
  for (const Remark& remark : out.result.fusion.remarks) {
    if (remark.reason != "multi_consumer") continue;
    missed = true;
    EXPECT_THAT(remark.message, HasSubstr("%12 (matmul)"));
    EXPECT_THAT(remark.sources, ElementsAre(SourceRef{SourceRef::Kind::kMir, 12, "%4 scan: %7"}));
  }
  EXPECT_TRUE(missed) << out.result.fusion.ToString();
}

TEST(Explain, IsAsTheCompileItself) {
  const Module module = LlamaBlock("fusable", "batch", "seq");
  const Explanation out = ExplainOrFail(module);
  CompileRequest request;
  const auto compiled = CompileModuleStages(module, request);
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  EXPECT_EQ(out.result.fusion.ops_after, compiled->fusion.ops_after);
  EXPECT_EQ(out.result.lir.plan, compiled->lir.plan);
  const DispatchReport &one = out.result.dispatch, &other = compiled->dispatch;
  ASSERT_EQ(one.kinds.size(), other.kinds.size());
  for (size_t i = 0; i < one.kinds.size(); ++i) {
    EXPECT_EQ(one.kinds[i].claim, other.kinds[i].claim);
    EXPECT_EQ(one.kinds[i].nodes, other.kinds[i].nodes);
    EXPECT_EQ(one.kinds[i].path, other.kinds[i].path);
  }
  EXPECT_THAT(out.why_no_program, HasSubstr("no back end"));
}

TEST(Explain, RefusesWhatDoesNotVerify) {
  Module module = ParseOrFail(kFates);
  module.graph.node(6).operands[1] = {2, 0};
  EXPECT_TRUE(absl::IsInvalidArgument(Explain(module, {}).status()));
}

}  // namespace
}  // namespace rlx::stages
