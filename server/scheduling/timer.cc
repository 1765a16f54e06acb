// SPDX-License-Identifier: Apache-2.0
#include "server/scheduling/timer.h"

#include <algorithm>
#include <chrono>

#include "runtime/base/clock.h"

namespace rlx::server {

void Timer::At(double when, std::function<void()> call) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return;
  const bool first = calls_.empty() || when < calls_.begin()->first;
  calls_.emplace(when, std::move(call));
  if (!thread_.joinable()) thread_ = std::thread([this] { Loop(); });
  if (first) changed_.notify_one();
}

void Timer::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void Timer::Loop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (calls_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const double left = calls_.begin()->first - MonotonicSeconds();
    if (left > 0) {
      // An hour at most: a distant time does not overflow the clock.
      changed_.wait_for(lock, std::chrono::duration<double>(std::min(left, 3600.0)));
      continue;
    }
    const std::function<void()> call = std::move(calls_.begin()->second);
    calls_.erase(calls_.begin());
    lock.unlock();
    call();
    lock.lock();
  }
}

}  // namespace rlx::server
