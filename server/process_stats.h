// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace rlx::server {

// This process as the kernel sees it (/proc/self). Zero where it does not say.
struct ProcessStats {
  double cpu_seconds = 0;
  double resident_bytes = 0;
  double virtual_bytes = 0;
  double open_fds = 0;
  double max_fds = 0;
  double threads = 0;
  double start_seconds = 0;  // since 1970
};

ProcessStats ReadProcessStats();

}  // namespace rlx::server
