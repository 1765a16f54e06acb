// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/compile_pool.h"

#include <algorithm>

#include "runtime/base/fault.h"

namespace rlx::engine {
namespace {

constexpr size_t kMaxBreaks = 64;  // threads that may stand beside those that run

}  // namespace

CompilePool::CompilePool(int threads, int max_queued)
    : limit_(static_cast<size_t>(std::max(1, threads))),
      max_queued_(static_cast<size_t>(std::max(0, max_queued))) {
  for (size_t i = 0; i < limit_; ++i) threads_.emplace_back([this] { Work(); });
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
    const size_t idle = limit_ - std::min(limit_, running_.size());
    if (queue_.size() >= max_queued_ + idle) {
      return TryLater(
          WithLimit(ResourceExhausted("the compile queue is full (", queue_.size(), " wait)"),
                    "max_queued_compiles", max_queued_));
    }
    queue_.push_back(std::move(work));
  }
  wake_.notify_all();  // whoever ends a break waits on it too
  return absl::OkStatus();
}

CompilePool::Load CompilePool::load() const {
  std::lock_guard lock(mutex_);
  return {static_cast<int64_t>(running_.size()), static_cast<int64_t>(queue_.size())};
}

void CompilePool::Leave() {
  {
    std::lock_guard lock(mutex_);
    running_.erase(std::this_thread::get_id());
  }
  wake_.notify_all();
}

CompilePool::Break::Break(CompilePool& pool) : pool_(pool) {
  {
    std::lock_guard lock(pool_.mutex_);
    pool_.running_.erase(std::this_thread::get_id());
    const bool spare = pool_.busy_ < pool_.threads_.size();
    if (!spare && !pool_.stopping_ && pool_.threads_.size() < pool_.limit_ + kMaxBreaks) {
      pool_.threads_.emplace_back([&pool] { pool.Work(); });
    }
  }
  pool_.wake_.notify_all();
}

CompilePool::Break::~Break() {
  std::unique_lock lock(pool_.mutex_);
  pool_.wake_.wait(lock,
                   [this] { return pool_.stopping_ || pool_.running_.size() < pool_.limit_; });
  pool_.running_.insert(std::this_thread::get_id());
}

void CompilePool::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || (!queue_.empty() && running_.size() < limit_); });
    if (stopping_) return;
    std::function<void()> work = std::move(queue_.front());
    queue_.pop_front();
    running_.insert(std::this_thread::get_id());
    ++busy_;
    lock.unlock();
    work();
    work = nullptr;  // what it held goes before the thread counts as idle
    lock.lock();
    --busy_;
    running_.erase(std::this_thread::get_id());
    wake_.notify_all();
  }
}

}  // namespace rlx::engine
