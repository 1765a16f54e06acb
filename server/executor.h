// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace rlx::server {

// Threads for calls that block (compiles, runs, disk), so that gRPC's own few threads never do.
// Grows to `max_threads` as tasks need them and lets idle threads go after a while; tasks beyond
// that wait in order, up to `max_waiting`. Thread safe.
class Executor {
 public:
  Executor(int max_threads, size_t max_waiting);
  ~Executor();  // finishes what was submitted
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // False, and the task is dropped, when `max_waiting` tasks wait already.
  bool Submit(std::function<void()> task);

 private:
  void Work();
  void Reap();

  const int max_threads_;
  const size_t max_waiting_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  std::vector<std::thread> threads_;   // guarded by mutex_
  std::vector<std::thread> finished_;  // left by themselves, to be joined
  int idle_ = 0;
  bool stopping_ = false;
};

}  // namespace rlx::server
