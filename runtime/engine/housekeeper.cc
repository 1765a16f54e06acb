// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/housekeeper.h"

#include <chrono>
#include <cmath>

#include "runtime/base/clock.h"

namespace rlx::engine {

Housekeeper::Housekeeper(std::function<double(double now)> work)
    : work_(std::move(work)), thread_([this] { Loop(); }) {}

Housekeeper::~Housekeeper() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Housekeeper::Wake() {
  {
    std::lock_guard lock(mutex_);
    woken_ = true;
  }
  wake_.notify_one();
}

void Housekeeper::Loop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    woken_ = false;
    lock.unlock();
    const double next = work_(MonotonicSeconds());
    lock.lock();
    const auto wanted = [this] { return woken_ || stopping_; };
    if (std::isinf(next)) {
      wake_.wait(lock, wanted);
    } else {
      const double seconds = std::max(0.0, next - MonotonicSeconds());
      wake_.wait_for(lock, std::chrono::duration<double>(seconds), wanted);
    }
  }
}

}  // namespace rlx::engine
