// SPDX-License-Identifier: Apache-2.0
// What each device follows: fusion target, limits, claim tables.
#include <cstdint>
#include <limits>

#include "runtime/ir/op_info.h"
#include "runtime/stages/stages.h"

namespace rlx::stages {
namespace {

constexpr uint8_t Bit(FusionTarget target) {
  return static_cast<uint8_t>(1u << static_cast<unsigned>(target));
}
constexpr uint8_t kCpu = Bit(FusionTarget::kCpu), kMetal = Bit(FusionTarget::kMetal),
                  kMlx = Bit(FusionTarget::kMlx), kWgpu = Bit(FusionTarget::kWgpu),
                  kCuda = Bit(FusionTarget::kCuda), kRocm = Bit(FusionTarget::kRocm),
                  kTpu = Bit(FusionTarget::kTpu);
constexpr uint8_t kEvery = kCpu | kMetal | kMlx | kWgpu | kCuda | kRocm | kTpu;

// Targets on which a claim gates fusion, and targets that run the op. The tables are older than
// some ops: a row counts from the day its kind is in the op table.
struct ClaimRow {
  std::string_view claim;
  uint8_t fusion;
  uint8_t runtime;
};
constexpr ClaimRow kClaims[] = {
    {"Input", 0, kEvery},
    {"Param", 0, kEvery},
    {"Constant", 0, kEvery},
    {"Activation", 0, kEvery},
    {"Cast", 0, kEvery},
    {"Binary", 0, kEvery},
    {"Compare", 0, kEvery},
    {"Where", 0, kEvery},
    {"ElementwiseRegion", kEvery, kEvery},
    {"MatMul", kEvery, kEvery},
    {"DotGeneral", kEvery & ~(kWgpu | kTpu), kEvery},
    {"LayerNorm", 0, kEvery},
    {"RmsNorm", 0, kEvery},
    {"Attention", 0, kEvery},
    {"Rope", 0, kEvery},
    {"Reshape", 0, kEvery},
    {"Transpose", 0, kEvery},
    {"Narrow", 0, kEvery},
    {"Concat", 0, kEvery},
    {"Expand", 0, kEvery},
    {"Gather", 0, kEvery},
    {"Reduce", 0, kEvery},
    {"Softmax", 0, kEvery},
    {"TopK", 0, kEvery},
    {"Conv", 0, kEvery},
    {"Pool", 0, kEvery},
    {"GroupedMatMul", 0, kEvery},
    {"DequantGroupedMatMul", 0, kEvery},
    {"DequantMoEWeights", 0, kEvery},
    {"ScatterAdd", 0, kEvery},
    {"DequantMatMul", 0, kEvery},
    {"Fft", 0, kEvery},
    {"LayerNorm2d", 0, kCpu | kMetal | kMlx | kCuda},
    {"GroupNorm", 0, kCpu | kMetal},
    {"ResizeNearest2x", 0, kCpu | kMetal},
    {"AxialRope2d", 0, kCpu | kMetal},
    {"Cumsum", 0, kEvery & ~kMetal},
    {"Sample", 0, kEvery & ~kMetal},
    {"SelectiveScan", 0, kEvery & ~kMetal},
    {"ConvTranspose2d", 0, kCpu | kMetal | kMlx | kCuda},
    {"LoraMatMul", 0, kCpu | kMlx},
    {"GatedDeltaNet", 0, kCpu | kMetal | kMlx},
    {"If", 0, kMlx},
    {"While", 0, kMlx},
    {"Scan", 0, kCpu | kMlx},
    {"DenseSolve", 0, kCpu | kMlx},
    {"BatchedDenseSolve", 0, kCpu | kMlx},
    {"QMatMul", 0, kTpu},
    {"QConv2d", 0, kTpu},
    {"Quantize", 0, kTpu},
    {"Dequantize", 0, kTpu},
    {"Custom", 0, kEvery & ~kTpu},
    {"ComplexNormSq", 0, kCpu},
    {"Conjugate", 0, kCpu},
    {"FusedMatMulBiasAct", kEvery, kEvery},
    {"FusedSwiGLU", kCpu | kMetal | kMlx | kWgpu, kCpu | kMetal | kMlx | kWgpu},
    {"FusedResidualLN", kEvery, kEvery},
    {"FusedResidualRmsNorm", kEvery & ~kTpu, kEvery},
    {"FusedAttentionBlock", kCpu | kWgpu, kCpu | kMlx | kWgpu},
    {"FusedTransformerLayer", kWgpu, kMlx | kWgpu},
};

std::set<std::string> Select(FusionTarget target, uint8_t ClaimRow::* column) {
  std::set<std::string> claims;
  for (const ClaimRow& row : kClaims) {
    if ((row.*column & Bit(target)) != 0 && IsClaimName(row.claim)) claims.emplace(row.claim);
  }
  return claims;
}

}  // namespace

FusionTarget FusionTargetFor(DeviceKind device) {
  switch (device) {
    case DeviceKind::kMetal:
      return FusionTarget::kMetal;
    case DeviceKind::kMlx:
      return FusionTarget::kMlx;
    case DeviceKind::kCuda:
      return FusionTarget::kCuda;
    case DeviceKind::kRocm:
      return FusionTarget::kRocm;
    case DeviceKind::kTpu:
      return FusionTarget::kTpu;
    case DeviceKind::kGpu:
    case DeviceKind::kVulkan:
    case DeviceKind::kWebGpu:
      return FusionTarget::kWgpu;
    case DeviceKind::kCpu:
    case DeviceKind::kAne:
    case DeviceKind::kOpenGl:
    case DeviceKind::kDirectX:
      return FusionTarget::kCpu;
  }
  return FusionTarget::kCpu;
}

FusionLimits LimitsFor(FusionTarget target) {
  constexpr uint32_t kUnbounded = std::numeric_limits<uint32_t>::max();
  return target == FusionTarget::kCpu ? FusionLimits{kUnbounded, kUnbounded} : FusionLimits{};
}

std::set<std::string> FusionClaimsFor(FusionTarget target) {
  return Select(target, &ClaimRow::fusion);
}

std::set<std::string> RuntimeClaimsFor(FusionTarget target) {
  return Select(target, &ClaimRow::runtime);
}

}  // namespace rlx::stages
