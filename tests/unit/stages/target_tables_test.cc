// SPDX-License-Identifier: Apache-2.0
// What each of the twelve devices follows, written down here once more from the reference: fusion
// target, limits, the claims that gate fusion and those of a target without a back end. A change of
// the table is a change here.
#include <gmock/gmock.h>

#include <map>
#include <sstream>

#include "runtime/ir/op_info.h"
#include "runtime/stages/stages.h"

namespace rlx::stages {
namespace {

using Claims = std::set<std::string>;

Claims Words(const std::string& text) {
  std::istringstream in(text);
  Claims out;
  for (std::string word; in >> word;) out.insert(word);
  return out;
}

Claims operator+(Claims a, const Claims& b) {
  a.insert(b.begin(), b.end());
  return a;
}

// All targets run these.
Claims Core() {
  return Words(
      "Input Param Constant Activation Cast Binary Compare Where ElementwiseRegion MatMul "
      "DotGeneral LayerNorm RmsNorm Attention Rope Reshape Transpose Narrow Concat Expand Gather "
      "Reduce Softmax TopK Conv Pool GroupedMatMul DequantGroupedMatMul DequantMoEWeights "
      "ScatterAdd DequantMatMul FusedMatMulBiasAct FusedResidualLN FusedResidualRmsNorm Fft");
}

// All targets fuse into these.
Claims CoreFusions() {
  return Words("MatMul ElementwiseRegion FusedMatMulBiasAct FusedResidualLN");
}

struct Row {
  std::string_view name;
  Claims fusion;      // beside CoreFusions
  Claims runtime;     // beside Core; what training alone needs is left out
  size_t of_runtime;  // counted in the reference
  bool unbounded = false;
};

const Row& Cpu() {
  static const Row row = {
      "cpu", Words("DotGeneral FusedSwiGLU FusedResidualRmsNorm FusedAttentionBlock"),
      Words("LayerNorm2d GroupNorm ResizeNearest2x AxialRope2d Cumsum Sample SelectiveScan "
            "ConvTranspose2d LoraMatMul GatedDeltaNet FusedSwiGLU FusedAttentionBlock Scan "
            "DenseSolve BatchedDenseSolve Custom ComplexNormSq Conjugate"),
      35 + 18, true};
  return row;
}

const Row& Metal() {
  static const Row row = {"metal", Words("DotGeneral FusedSwiGLU FusedResidualRmsNorm"),
                          Words("LayerNorm2d GroupNorm ResizeNearest2x AxialRope2d "
                                "ConvTranspose2d GatedDeltaNet FusedSwiGLU Custom"),
                          35 + 8};
  return row;
}

const Row& Mlx() {
  static const Row row = {
      "mlx", Words("DotGeneral FusedSwiGLU FusedResidualRmsNorm"),
      Words("LayerNorm2d Cumsum Sample SelectiveScan ConvTranspose2d LoraMatMul GatedDeltaNet "
            "FusedSwiGLU FusedAttentionBlock FusedTransformerLayer If While Scan DenseSolve "
            "BatchedDenseSolve Custom"),
      35 + 16};
  return row;
}

const Row& Wgpu() {
  static const Row row = {
      "wgpu", Words("FusedSwiGLU FusedResidualRmsNorm FusedAttentionBlock FusedTransformerLayer"),
      Words("Cumsum Sample SelectiveScan FusedSwiGLU FusedAttentionBlock FusedTransformerLayer "
            "Custom"),
      35 + 7};
  return row;
}

const Row& Cuda() {
  static const Row row = {"cuda", Words("DotGeneral FusedResidualRmsNorm"),
                          Words("LayerNorm2d Cumsum Sample SelectiveScan ConvTranspose2d Custom"),
                          35 + 6};
  return row;
}

const Row& Rocm() {
  static const Row row = {"rocm", Words("DotGeneral FusedResidualRmsNorm"),
                          Words("Cumsum Sample SelectiveScan Custom"), 35 + 4};
  return row;
}

const Row& Tpu() {
  static const Row row = {
      "tpu", {}, Words("Cumsum Sample SelectiveScan QMatMul QConv2d Quantize Dequantize"), 35 + 7};
  return row;
}

std::map<std::string_view, const Row*> Devices() {
  return {{"cpu", &Cpu()},     {"metal", &Metal()}, {"mlx", &Mlx()},     {"ane", &Cpu()},
          {"cuda", &Cuda()},   {"rocm", &Rocm()},   {"tpu", &Tpu()},     {"gpu", &Wgpu()},
          {"vulkan", &Wgpu()}, {"opengl", &Cpu()},  {"directx", &Cpu()}, {"webgpu", &Wgpu()}};
}

TEST(TargetTables, AreThoseOfTheReference) {
  constexpr uint32_t kUnbounded = 0xffffffff;
  ASSERT_EQ(Devices().size(), static_cast<size_t>(kDeviceKindCount));
  for (const auto& [name, row] : Devices()) {
    SCOPED_TRACE(name);
    const auto device = ParseDeviceKind(name);
    ASSERT_TRUE(device.has_value());
    const auto resolved = Resolve(*device, {}, nullptr);
    ASSERT_TRUE(resolved.ok()) << resolved.status();
    EXPECT_EQ(Name(resolved->fusion_target), row->name);
    EXPECT_EQ(resolved->limits.max_elementwise_steps, row->unbounded ? kUnbounded : 32u);
    EXPECT_EQ(resolved->limits.max_elementwise_inputs, row->unbounded ? kUnbounded : 16u);
    EXPECT_EQ(resolved->gates, CoreFusions() + row->fusion);
    EXPECT_EQ(resolved->claims, Core() + row->runtime);
    EXPECT_EQ(resolved->claims.size(), row->of_runtime);
  }
}

// What the reference has and this op table has not would be missing above without a word.
TEST(TargetTables, NameOpsThatThereAre) {
  for (const auto& [name, row] : Devices()) {
    for (const std::string& claim : Core() + CoreFusions() + row->fusion + row->runtime) {
      EXPECT_TRUE(IsClaimName(claim)) << claim << " of " << name;
    }
  }
}

}  // namespace
}  // namespace rlx::stages
