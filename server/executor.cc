// SPDX-License-Identifier: Apache-2.0
#include "server/executor.h"

#include <algorithm>
#include <chrono>

namespace rlx::server {
namespace {

constexpr std::chrono::seconds kIdleTime{20};

}  // namespace

Executor::Executor(int max_threads, size_t max_waiting)
    : max_threads_(max_threads), max_waiting_(max_waiting) {}

Executor::~Executor() {
  std::vector<std::thread> threads;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  // Threads that leave by themselves move from one list to the other: take both until none is left.
  for (;;) {
    {
      std::lock_guard lock(mutex_);
      threads = std::move(finished_);
      finished_.clear();
      if (threads.empty() && !threads_.empty()) {
        threads = std::move(threads_);
        threads_.clear();
      }
    }
    if (threads.empty()) return;
    for (std::thread& thread : threads) thread.join();
  }
}

bool Executor::Submit(std::function<void()> task) {
  std::lock_guard lock(mutex_);
  Reap();
  const bool may_grow = static_cast<int>(threads_.size()) < max_threads_;
  if (idle_ <= static_cast<int>(tasks_.size()) && may_grow) {
    tasks_.push_back(std::move(task));
    threads_.emplace_back([this] { Work(); });
    return true;
  }
  if (idle_ <= static_cast<int>(tasks_.size()) && tasks_.size() >= max_waiting_) return false;
  tasks_.push_back(std::move(task));
  wake_.notify_one();
  return true;
}

// Joins threads that have left; they hold no lock any more, so this does not wait.
void Executor::Reap() {
  for (std::thread& thread : finished_) thread.join();
  finished_.clear();
}

void Executor::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (tasks_.empty() && !stopping_) {
      ++idle_;
      const bool woken =
          wake_.wait_for(lock, kIdleTime, [&] { return stopping_ || !tasks_.empty(); });
      --idle_;
      if (!woken) break;
    }
    if (tasks_.empty()) break;
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    task = nullptr;
    lock.lock();
  }
  const auto self = std::find_if(threads_.begin(), threads_.end(), [](const std::thread& thread) {
    return thread.get_id() == std::this_thread::get_id();
  });
  if (self == threads_.end()) return;  // the destructor has it
  finished_.push_back(std::move(*self));
  threads_.erase(self);
}

}  // namespace rlx::server
