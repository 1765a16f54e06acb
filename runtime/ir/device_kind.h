// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace rlx {

// The twelve devices modules can be compiled for. Order and numbers are the wire's, less one.
enum class DeviceKind : uint8_t {
  kCpu,
  kMetal,
  kMlx,
  kAne,
  kCuda,
  kRocm,
  kTpu,
  kGpu,
  kVulkan,
  kOpenGl,
  kDirectX,
  kWebGpu,
};
inline constexpr int kDeviceKindCount = 12;

// Which set of fusion rules, limits and claims a device follows.
enum class FusionTarget : uint8_t { kCpu, kMetal, kMlx, kWgpu, kCuda, kRocm, kTpu };
inline constexpr int kFusionTargetCount = 7;

std::string_view Name(DeviceKind kind);         // "cpu" … "webgpu": what clients write
std::string_view DisplayName(DeviceKind kind);  // "CPU", "GPU (wgpu)", "DirectX 12" …
std::optional<DeviceKind> ParseDeviceKind(std::string_view name);
std::string_view Name(FusionTarget target);  // "cpu" "metal" "mlx" "wgpu" "cuda" "rocm" "tpu"
std::optional<FusionTarget> ParseFusionTarget(std::string_view name);

}  // namespace rlx
