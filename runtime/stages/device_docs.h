// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace rlx::device {
class Backend;
}

namespace rlx::stages {

// docs/devices.md: the twelve devices, the fusion targets they follow, and which op kinds each
// claims by the tables and by these back ends.
std::string DeviceDocs(const std::vector<const device::Backend*>& backends);

}  // namespace rlx::stages
