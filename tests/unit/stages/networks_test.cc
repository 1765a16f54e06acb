// SPDX-License-Identifier: Apache-2.0
// Whole networks through the stages: every layer fuses, on every kind of target, and none leaves
// something that its author should have written otherwise.
#include <gmock/gmock.h>

#include "bench/models/models.h"
#include "runtime/ir/op_info.h"
#include "runtime/stages/stages.h"

namespace rlx::stages {
namespace {

constexpr DeviceKind kDevices[] = {DeviceKind::kCpu, DeviceKind::kCuda, DeviceKind::kMetal};
constexpr FusionPolicy kPolicies[] = {FusionPolicy::kDirect, FusionPolicy::kFusable};

CompileResult CompileClean(const Module& module, DeviceKind device) {
  CompileRequest request{.device = device, .until = Stage::kLir};
  request.options.assert_fusion_clean = true;
  absl::StatusOr<CompileResult> result = CompileModuleStages(module, request);
  EXPECT_TRUE(result.ok()) << result.status().ToString();
  return result.ok() ? *std::move(result) : CompileResult{};
}

int64_t After(const CompileResult& result, const std::string& op) {
  const auto it = result.fusion.ops_after.find(op);
  return it == result.fusion.ops_after.end() ? 0 : it->second;
}

// Attentions, and products, on their own or inside larger fused ops.
int64_t Attentions(const CompileResult& result) {
  return After(result, "attention") + After(result, "fused_attention_block") +
         After(result, "fused_transformer_layer");
}
int64_t Products(const CompileResult& result) {
  return After(result, "matmul") + After(result, "fused_matmul_bias_act") +
         2 * After(result, "fused_attention_block") + 4 * After(result, "fused_transformer_layer");
}

TEST(Networks, TheZooIsClean) {
  for (const models::ZooEntry& entry : models::Zoo()) {
    for (const DeviceKind device : kDevices) {
      for (const FusionPolicy policy : kPolicies) {
        SCOPED_TRACE(Cat(entry.name, " ", Name(device), " ", static_cast<int>(policy)));
        const CompileResult result = CompileClean(entry.make(policy), device);
        EXPECT_TRUE(result.fusion.clean()) << result.fusion.ToString();
      }
    }
  }
}

constexpr int64_t kLayers = 3;

models::DecoderShape Small(bool qkv_bias, bool qk_norm) {
  return {.layers = kLayers,
          .hidden = 64,
          .heads = 4,
          .kv_heads = 2,
          .head_dim = 16,
          .inner = 96,
          .vocab = 50,
          .qkv_bias = qkv_bias,
          .qk_norm = qk_norm};
}

// Of each layer: one product for q, k and v, one for gate and up; both residual sums inside others;
// one attention on unrepeated heads. CUDA's table does not claim the fused swiglu.
void ExpectFused(const CompileResult& result, DeviceKind device) {
  EXPECT_EQ(Attentions(result), kLayers);
  EXPECT_EQ(Products(result), 4 * kLayers + 1);
  EXPECT_EQ(After(result, "add"), 0);
  EXPECT_EQ(After(result, "silu"), 0);
  EXPECT_GE(After(result, "fused_residual_rms_norm"), kLayers);
  EXPECT_EQ(After(result, "expand"), 0);
  if (device != DeviceKind::kCuda) {
    EXPECT_EQ(After(result, "fused_swiglu"), kLayers);
  }
}

TEST(Networks, DecodersFuseWhole) {
  for (const DeviceKind device : kDevices) {
    for (const FusionPolicy policy : kPolicies) {
      for (const auto& [bias, norm] : {std::pair(false, false), {true, false}, {false, true}}) {
        for (const models::Cache cache :
             {models::Cache::kNone, models::Cache::kStart, models::Cache::kAppend}) {
          SCOPED_TRACE(Cat(Name(device), " policy ", static_cast<int>(policy), " bias ", bias,
                           " norm ", norm, " cache ", static_cast<int>(cache)));
          const Module module =
              models::Decoder(Small(bias, norm), models::Extents::Symbolic(), policy, cache);
          ExpectFused(CompileClean(module, device), device);
        }
      }
    }
  }
}

// Four products, two of them with an activation or bias alone, and both residual sums in the norms.
TEST(Networks, EncodersFuseWhole) {
  const models::EncoderShape shape{.layers = kLayers, .hidden = 64, .heads = 4, .inner = 96};
  for (const DeviceKind device : kDevices) {
    for (const FusionPolicy policy : kPolicies) {
      SCOPED_TRACE(Cat(Name(device), " policy ", static_cast<int>(policy)));
      const CompileResult result =
          CompileClean(models::Bert(shape, models::Extents::Symbolic(), policy), device);
      EXPECT_EQ(Attentions(result), kLayers);
      EXPECT_EQ(Products(result), 4 * kLayers);
      EXPECT_EQ(
          After(result, "fused_residual_layer_norm") + 2 * After(result, "fused_transformer_layer"),
          2 * kLayers);
      EXPECT_EQ(After(result, "matmul") + After(result, "gelu"), 0);
    }
  }
}

// Every node of the plan says which layer its author would look at.
TEST(Networks, NodesNameTheirLayers) {
  const Module module = models::Decoder(Small(false, true), {}, FusionPolicy::kFusable);
  const CompileResult result = CompileClean(module, DeviceKind::kCpu);
  int64_t attentions = 0;
  for (const Node& node : result.lir.graph.nodes()) {
    ASSERT_FALSE(node.sources.empty());
    EXPECT_FALSE(node.sources[0].name.empty());
    if (Name(node.op).find("attention") != std::string_view::npos) {  // alone or in a larger op
      EXPECT_EQ(node.sources[0].name, Cat("layer.", attentions++));
    }
  }
  EXPECT_EQ(attentions, kLayers);
}

}  // namespace
}  // namespace rlx::stages
