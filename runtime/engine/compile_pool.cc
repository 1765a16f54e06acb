// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/compile_pool.h"

#include <algorithm>

#include "runtime/base/fault.h"

namespace rlx::engine {

CompilePool::CompilePool(int threads, int max_queued)
    : max_queued_(static_cast<size_t>(std::max(0, max_queued))) {
  for (int i = 0; i < std::max(1, threads); ++i) threads_.emplace_back([this] { Work(); });
}

CompilePool::~CompilePool() {
  std::deque<std::function<void()>> dropped;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    dropped.swap(queue_);
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

absl::Status CompilePool::Submit(std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    const size_t idle = threads_.size() - running_.size();
    if (queue_.size() >= max_queued_ + idle) {
      return TryLater(
          WithLimit(ResourceExhausted("the compile queue is full (", queue_.size(), " wait)"),
                    "max_queued_compiles", max_queued_));
    }
    queue_.push_back(std::move(work));
  }
  wake_.notify_one();
  return absl::OkStatus();
}

CompilePool::Load CompilePool::load() const {
  std::lock_guard lock(mutex_);
  return {static_cast<int64_t>(running_.size()), static_cast<int64_t>(queue_.size())};
}

void CompilePool::Leave() {
  std::lock_guard lock(mutex_);
  running_.erase(std::this_thread::get_id());
}

void CompilePool::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    std::function<void()> work = std::move(queue_.front());
    queue_.pop_front();
    running_.insert(std::this_thread::get_id());
    lock.unlock();
    work();
    work = nullptr;  // what it held goes before the thread counts as idle
    lock.lock();
    running_.erase(std::this_thread::get_id());
  }
}

}  // namespace rlx::engine
