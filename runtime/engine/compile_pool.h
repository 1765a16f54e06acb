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

  // Made by work that waits for something other than a processor: while it lives, other work may
  // run in its place. Its end waits until there is one again.
  class Break {
   public:
    explicit Break(CompilePool& pool);
    ~Break();
    Break(const Break&) = delete;
    Break& operator=(const Break&) = delete;

   private:
    CompilePool& pool_;
  };

  struct Load {
    int64_t running = 0;
    int64_t queued = 0;
  };
  Load load() const;

 private:
  void Work();

  // That many run at a time; threads beyond are those of work that takes a break.
  const size_t limit_;
  const size_t max_queued_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  std::unordered_set<std::thread::id> running_;
  size_t busy_ = 0;  // threads inside work, breaks too
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace rlx::engine
