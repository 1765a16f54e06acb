// SPDX-License-Identifier: Apache-2.0
#include "server/trimmer.h"

#include <malloc.h>

#include <chrono>

#include "runtime/engine/gate.h"

namespace rlx::server {
namespace {

constexpr std::chrono::milliseconds kQuiet{500};
constexpr int kMostLooks = 120;  // a minute without quiet

}  // namespace

Trimmer::Trimmer(const engine::Gate& calls) : calls_(calls), thread_([this] { Loop(); }) {}

Trimmer::~Trimmer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Trimmer::Wake() {
  if (worked_.exchange(true)) return;
  const std::lock_guard lock(mutex_);  // so that it is not missed between look and wait
  wake_.notify_one();
}

bool Trimmer::WaitForQuiet(std::unique_lock<std::mutex>& lock) {
  for (int look = 0; look < kMostLooks; ++look) {
    worked_.store(false);
    if (wake_.wait_for(lock, kQuiet, [this] { return stopping_; })) return false;
    if (!worked_.load() && calls_.inside() == 0) return true;
  }
  return true;
}

void Trimmer::Loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || worked_.load(); });
    if (stopping_ || !WaitForQuiet(lock)) return;
    lock.unlock();
    malloc_trim(0);
    lock.lock();
  }
}

}  // namespace rlx::server
