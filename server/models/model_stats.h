// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
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
  std::atomic<uint64_t> executions{0};
  std::atomic<uint64_t> last_ms{0};  // since 1970

  // Runs with one number of inferences.
  struct BatchTimes {
    std::atomic<int64_t> size{0};  // 0: none yet
    Time input, infer, output;
  };
  // A run has succeeded. Sizes beyond those that there is room for are in no row.
  void Executed(int64_t size, double input, double infer, double output) {
    executions.fetch_add(1, std::memory_order_relaxed);
    inferences.fetch_add(static_cast<uint64_t>(size), std::memory_order_relaxed);
    for (size_t i = 0; i < batches.size(); ++i) {
      BatchTimes& row = batches[(static_cast<size_t>(size) + i) % batches.size()];
      int64_t known = row.size.load(std::memory_order_relaxed);
      if (known == 0) row.size.compare_exchange_strong(known, size, std::memory_order_relaxed);
      if (known != 0 && known != size) continue;
      row.input.Add(input);
      row.infer.Add(infer);
      row.output.Add(output);
      return;
    }
  }
  std::array<BatchTimes, 64> batches;
};

}  // namespace rlx::server
