// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

namespace rlx::server {

// Calls what does not block at a time of MonotonicSeconds, on one thread of its own, which starts
// with the first call. Thread safe.
class Timer {
 public:
  Timer() = default;
  ~Timer() { Stop(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void At(double when, std::function<void()> call);
  // Returns when nothing runs any more; what has not been called is not.
  void Stop();

 private:
  void Loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::multimap<double, std::function<void()>> calls_;  // guarded by mutex_, as below
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace rlx::server
