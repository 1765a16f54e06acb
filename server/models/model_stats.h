// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace rlx::server {

// What one version has done since it was loaded. Thread safe; a request costs a few additions.
class ModelStats {
 public:
  // How often, and how long in all.
  struct Time {
    std::atomic<uint64_t> count{0}, ns{0};

    void Add(double seconds) {
      count.fetch_add(1, std::memory_order_relaxed);
      ns.fetch_add(static_cast<uint64_t>(seconds * 1e9), std::memory_order_relaxed);
    }
  };
  Time success, fail;                // of requests, from beginning to end
  Time queue, input, infer, output;  // parts of those that succeeded
  std::atomic<uint64_t> inferences{0};
  std::atomic<uint64_t> last_ms{0};  // since 1970
};

}  // namespace rlx::server
