// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace rlx::engine {
class Gate;
}

namespace rlx::server {

// Gives back to the system what malloc keeps of memory that was freed: after a flood of calls that
// is most of what the process had at its height. Once calls have been quiet for a moment, since it
// takes malloc's locks; and now and then while they are not. A thread of its own.
class Trimmer {
 public:
  // `calls`: those in flight. Outlives it.
  explicit Trimmer(const engine::Gate& calls);
  ~Trimmer();
  Trimmer(const Trimmer&) = delete;
  Trimmer& operator=(const Trimmer&) = delete;

  // A call has ended. Any thread; costs one atomic load when another has just ended.
  void CallEnded() {
    if (!worked_.load(std::memory_order_relaxed)) Wake();
  }

 private:
  void Wake();
  void Loop();
  // Waits until calls have been quiet, or have not been for too long; false when it stops.
  bool WaitForQuiet(std::unique_lock<std::mutex>& lock);

  const engine::Gate& calls_;
  std::atomic<bool> worked_{false};  // since the last look
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace rlx::server
