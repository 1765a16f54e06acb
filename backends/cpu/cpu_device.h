// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "runtime/device/backend.h"

namespace rlx::cpu {

// This machine's processors as one device, "cpu:0".
device::DeviceInfo DescribeHost(const device::Target& target);
std::shared_ptr<device::Device> MakeCpuDevice(device::DeviceInfo info,
                                              const device::DeviceOptions& options);

}  // namespace rlx::cpu
