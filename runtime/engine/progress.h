// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <list>
#include <mutex>

#include "runtime/base/clock.h"
#include "runtime/engine/compile.h"

namespace rlx::engine {

// Where a compile is, told to all who wait for it. Thread safe.
class ProgressHub {
 public:
  struct Event {
    CompilePhase phase = CompilePhase::kQueued;
    std::string_view detail;
    double seconds = 0;
  };
  using Listener = std::function<void(const Event&)>;

  // Tells every listener, one event at a time.
  void Publish(CompilePhase phase, std::string_view detail);

  // Hears what comes, after the latest event, until destroyed; then no call is running or follows.
  class Subscription {
   public:
    Subscription(ProgressHub& hub, Listener listener);
    ~Subscription();
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;

   private:
    ProgressHub& hub_;
    std::list<Listener>::iterator place_;
  };

  CompilePhase phase() const;

  // Seconds in each phase so far, in order.
  PhaseSeconds Phases() const;

 private:
  struct Entered {
    CompilePhase phase;
    double at;
  };

  const double began_ = MonotonicSeconds();
  mutable std::mutex mutex_;
  std::list<Listener> listeners_;
  std::vector<Entered> entered_ = {{CompilePhase::kQueued, began_}};
  std::string detail_;
};

}  // namespace rlx::engine
