// SPDX-License-Identifier: Apache-2.0
// Whole networks through the stages: every layer fuses, on every kind of target, and none leaves
// something that its author should have written otherwise.
#include <gmock/gmock.h>

#include "bench/models/models.h"
#include "runtime/ir/op_info.h"
#include "runtime/lower/lower.h"
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

// Ops but leaves, and how many of them are left.
std::map<std::string, int64_t> Ops(const CompileResult& result) {
  std::map<std::string, int64_t> ops = result.fusion.ops_after;
  for (const char* leaf : {"input", "param", "constant"}) ops.erase(leaf);
  return ops;
}

// docs/performance.md says where both policies end in as many ops. They need not be the same: a
// residual sum goes into the product before it or into the norm behind it.
TEST(Networks, BothPoliciesEndInAsManyOps) {
  const auto ops = [](FusionPolicy policy, DeviceKind device) {
    int64_t count = 0;
    for (const auto& [op, times] : Ops(CompileClean(
             models::Decoder(Small(false, false), models::Extents::Symbolic(), policy), device))) {
      count += times;
    }
    return count;
  };
  for (const DeviceKind device : {DeviceKind::kCpu, DeviceKind::kCuda}) {
    SCOPED_TRACE(Name(device));
    EXPECT_EQ(ops(FusionPolicy::kDirect, device), ops(FusionPolicy::kFusable, device));
  }
}

models::HybridShape SmallHybrid() {
  return {.layers = 2 * 4,
          .hidden = 64,
          .heads = 4,
          .kv_heads = 2,
          .head_dim = 16,
          .n_rot = 8,
          .inner = 96,
          .vocab = 50,
          .delta_heads = 4,
          .delta_dim = 8};
}

// Six layers that recur, two of attention and the head, which attends once more. A layer that
// recurs has one product for all that reads its norm, its output, gate and up, down.
TEST(Networks, HybridsFuseWhole) {
  for (const FusionPolicy policy : kPolicies) {
    for (const models::Extents& extents :
         {models::Extents{.batch = 2, .seq = 6}, models::Extents::Symbolic()}) {
      SCOPED_TRACE(Cat("policy ", static_cast<int>(policy), " seq ", extents.seq));
      const Module module = models::Qwen35(SmallHybrid(), extents, policy);
      const CompileResult result = CompileClean(module, DeviceKind::kCpu);
      EXPECT_EQ(After(result, "gated_delta_net"), 6);
      EXPECT_EQ(Attentions(result), 2 + 1);
      EXPECT_EQ(After(result, "fused_swiglu"), 6 + 2 + 1);
      EXPECT_EQ(Products(result), 6 * 4 + 2 * 4 + (1 + 4 + 1) + 1);
    }
  }
}

// Bound to small sizes and to large ones, with and without fusion: at most a twentieth above the
// most that lives at once.
TEST(Networks, ArenasAreNearTheirLowerBound) {
  for (const models::ZooEntry& entry : models::Zoo()) {
    for (const bool fused : {true, false}) {
      CompileRequest request{.device = DeviceKind::kTpu, .until = Stage::kLir};
      request.options.fusion.skip_fusion = !fused;
      const auto compiled = CompileModuleStages(entry.make(FusionPolicy::kFusable), request);
      ASSERT_TRUE(compiled.ok()) << compiled.status().ToString();
      for (const int64_t size : {3, 384}) {
        SCOPED_TRACE(Cat(entry.name, fused ? " fused " : " ", size));
        DimBinding binding;
        for (const auto& [symbol, range] : compiled->lir.graph.symbols) {
          binding[symbol] = std::min<int64_t>(range.max, size);
        }
        const auto bound = compiled->Specialize(binding, nullptr, {});
        ASSERT_TRUE(bound.ok()) << bound.status().ToString();
        const auto least = lower::ArenaLowerBound(bound->lir.graph, bound->lir.plan);
        EXPECT_GT(least, 0);
        EXPECT_GE(bound->lir.plan.arena_bytes, least);
        EXPECT_LE(static_cast<double>(bound->lir.plan.arena_bytes),
                  1.05 * static_cast<double>(least));
      }
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
