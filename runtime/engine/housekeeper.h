// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace rlx::engine {

// A thread that does what is due. `work(now)` says when it is to be called again, in
// MonotonicSeconds; it is called at least that soon, and after each Wake.
class Housekeeper {
 public:
  explicit Housekeeper(std::function<double(double now)> work);
  ~Housekeeper();
  Housekeeper(const Housekeeper&) = delete;
  Housekeeper& operator=(const Housekeeper&) = delete;

  void Wake();

 private:
  void Loop();

  const std::function<double(double)> work_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool woken_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace rlx::engine
