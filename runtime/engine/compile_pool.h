// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <vector>

#include "runtime/base/status.h"

namespace rlx::engine {

// Threads that compile, and the work that waits for them, in order and bounded. Thread safe.
class CompilePool {
 public:
  CompilePool(int threads, int max_queued);
  // Drops what is queued, waits for what runs.
  ~CompilePool();
  CompilePool(const CompilePool&) = delete;
  CompilePool& operator=(const CompilePool&) = delete;

  // ResourceExhausted (limit max_queued_compiles) when all threads are busy and the queue is full.
  absl::Status Submit(std::function<void()> work);

  // Called by work before it hands out its result: from here on its thread counts as idle, so that
  // whoever has the result finds neither the compile in load() nor its place taken.
  void Leave();

  struct Load {
    int64_t running = 0;
    int64_t queued = 0;
  };
  Load load() const;

 private:
  void Work();

  const size_t max_queued_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  std::unordered_set<std::thread::id> running_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace rlx::engine
