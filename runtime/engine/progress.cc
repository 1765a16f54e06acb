// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/progress.h"

namespace rlx::engine {

void ProgressHub::Publish(CompilePhase phase, std::string_view detail) {
  std::lock_guard lock(mutex_);
  const double now = MonotonicSeconds();
  if (entered_.back().phase != phase) entered_.push_back({phase, now});
  detail_ = detail;
  for (const Listener& listener : listeners_) listener({phase, detail_, now - began_});
}

CompilePhase ProgressHub::phase() const {
  std::lock_guard lock(mutex_);
  return entered_.back().phase;
}

PhaseSeconds ProgressHub::Phases() const {
  std::lock_guard lock(mutex_);
  PhaseSeconds out;
  for (size_t i = 0; i + 1 < entered_.size(); ++i) {
    out.emplace_back(entered_[i].phase, entered_[i + 1].at - entered_[i].at);
  }
  return out;
}

ProgressHub::Subscription::Subscription(ProgressHub& hub, Listener listener) : hub_(hub) {
  std::lock_guard lock(hub_.mutex_);
  const Entered& latest = hub_.entered_.back();
  listener({latest.phase, hub_.detail_, latest.at - hub_.began_});
  place_ = hub_.listeners_.insert(hub_.listeners_.end(), std::move(listener));
}

ProgressHub::Subscription::~Subscription() {
  std::lock_guard lock(hub_.mutex_);
  hub_.listeners_.erase(place_);
}

}  // namespace rlx::engine
