// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/device_kind.h"

#include <algorithm>
#include <array>

namespace rlx {
namespace {

struct DeviceNames {
  std::string_view name, display;
};
constexpr std::array<DeviceNames, kDeviceKindCount> kDevices = {{
    {"cpu", "CPU"},
    {"metal", "Metal"},
    {"mlx", "MLX"},
    {"ane", "ANE"},
    {"cuda", "CUDA"},
    {"rocm", "ROCm"},
    {"tpu", "TPU"},
    {"gpu", "GPU (wgpu)"},
    {"vulkan", "Vulkan"},
    {"opengl", "OpenGL"},
    {"directx", "DirectX 12"},
    {"webgpu", "WebGPU"},
}};
constexpr std::array<std::string_view, kFusionTargetCount> kTargets = {
    "cpu", "metal", "mlx", "wgpu", "cuda", "rocm", "tpu"};

}  // namespace

std::string_view Name(DeviceKind kind) { return kDevices[static_cast<size_t>(kind)].name; }
std::string_view DisplayName(DeviceKind kind) {
  return kDevices[static_cast<size_t>(kind)].display;
}

std::optional<DeviceKind> ParseDeviceKind(std::string_view name) {
  const auto it = std::ranges::find(kDevices, name, &DeviceNames::name);
  if (it == kDevices.end()) return std::nullopt;
  return static_cast<DeviceKind>(it - kDevices.begin());
}

std::string_view Name(FusionTarget target) { return kTargets[static_cast<size_t>(target)]; }

std::optional<FusionTarget> ParseFusionTarget(std::string_view name) {
  const auto it = std::ranges::find(kTargets, name);
  if (it == kTargets.end()) return std::nullopt;
  return static_cast<FusionTarget>(it - kTargets.begin());
}

}  // namespace rlx
