// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rlx {

// Bytes of memory that this process may use: the machine's, or less where it lives in control
// groups (a container, a systemd unit) that have a limit.
int64_t UsableMemory();

// `machine`, or the least limit of the control groups that `membership` (what /proc/self/cgroup
// says) names, and of those that they lie in, below `root` (/sys/fs/cgroup). Versions 1 and 2. In
// a container the names may be the host's, which are not there: then the group at `root` is ours.
int64_t LeastMemoryLimit(int64_t machine, std::string_view membership, const std::string& root);

}  // namespace rlx
