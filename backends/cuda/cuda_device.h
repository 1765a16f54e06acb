// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backends/cuda/gpu.h"
#include "runtime/device/backend.h"

namespace rlx::cuda {

// What code for an architecture ("sm_90") runs on; `profile` is what clients call it.
device::Target TargetFor(std::string profile, std::string arch);

// The GPUs that the driver knows and that have an architecture of ours or a later one.
absl::StatusOr<std::vector<device::DeviceInfo>> ListDevices(const Driver& driver);

absl::StatusOr<std::shared_ptr<device::Device>> MakeCudaDevice(std::shared_ptr<const Driver> driver,
                                                               device::DeviceInfo info);

}  // namespace rlx::cuda
