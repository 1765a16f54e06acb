// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "runtime/base/cancel.h"

namespace rlx::engine {

// Counts what is inside, and can be shut: then nobody enters, and who wants to may wait until it is
// empty. Entering and leaving cost an atomic each. Thread safe.
class Gate {
 public:
  // One thing inside; false when the gate was shut.
  class Pass {
   public:
    explicit Pass(Gate& gate) : gate_(gate.Enter() ? &gate : nullptr) {}
    ~Pass() {
      if (gate_ != nullptr) gate_->Leave();
    }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;
    explicit operator bool() const { return gate_ != nullptr; }

   private:
    Gate* gate_;
  };

  void Shut() { shut_.store(true); }
  bool shut() const { return shut_.load(); }
  int64_t inside() const { return inside_.load(); }

  // How many are inside when none is left, or at `cancel`. Only once shut.
  int64_t WaitEmpty(const CancelToken& cancel) {
    std::unique_lock lock(mutex_);
    const auto empty = [this] { return inside_.load() == 0; };
    if (cancel.deadline()) {
      empty_.wait_until(lock, cancel.stop(), *cancel.deadline(), empty);
    } else {
      empty_.wait(lock, cancel.stop(), empty);
    }
    return inside_.load();
  }

 private:
  // Counts first: whoever shuts the gate either sees it counted or is seen.
  bool Enter() {
    inside_.fetch_add(1);
    if (!shut_.load()) return true;
    Leave();
    return false;
  }
  void Leave() {
    if (inside_.fetch_sub(1) != 1 || !shut_.load()) return;
    std::lock_guard lock(mutex_);
    empty_.notify_all();
  }

  std::atomic<bool> shut_{false};
  std::atomic<int64_t> inside_{0};
  std::mutex mutex_;
  std::condition_variable_any empty_;
};

}  // namespace rlx::engine
