// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/operations.h"

#include <algorithm>
#include <limits>

#include "runtime/base/clock.h"

namespace rlx::engine {

Operations::Caller::Caller(Operations& table, std::shared_ptr<Operation> operation)
    : table_(table), operation_(std::move(operation)) {
  table_.Enter(operation_);
}

Operations::Caller::~Caller() { table_.Leave(operation_, seen_, broken_off_); }

void Operations::Caller::Finish(bool outcome_seen, const absl::Status& status) {
  seen_ = outcome_seen;
  broken_off_ = !outcome_seen && absl::IsCancelled(status);
}

std::shared_ptr<Operation> Operations::Find(const std::string& principal, const RandomId& id) {
  std::lock_guard lock(mutex_);
  auto* found = table_.Use(id);
  return found != nullptr && (*found)->principal == principal ? *found : nullptr;
}

void Operations::Enter(const std::shared_ptr<Operation>& operation) {
  std::lock_guard lock(mutex_);
  ++operation->callers;
  if (table_.Use(operation->id) == nullptr) table_.Insert(operation->id, operation);
}

void Operations::Leave(const std::shared_ptr<Operation>& operation, bool seen, bool broken_off) {
  std::vector<std::shared_ptr<Operation>> dropped;  // their tickets stop compiles: after the lock
  std::lock_guard lock(mutex_);
  operation->finished |= seen;
  if (--operation->callers > 0) return;
  if (operation->finished) {
    operation->forget_at = MonotonicSeconds() + kRememberSeconds;
  } else if (broken_off && reattach_seconds_ > 0) {
    operation->forget_at = MonotonicSeconds() + reattach_seconds_;
  } else if (auto gone = table_.Erase(operation->id)) {
    dropped.push_back(*std::move(gone));
  }
  ForgetOldestLocked(dropped);
}

void Operations::ForgetOldestLocked(std::vector<std::shared_ptr<Operation>>& dropped) {
  const auto remembered = [](const auto& entry) {
    return entry.second->finished && entry.second->callers == 0;
  };
  const auto& entries = table_.entries();
  if (std::count_if(entries.begin(), entries.end(), remembered) <= kMaxRemembered) return;
  const auto oldest = std::find_if(entries.rbegin(), entries.rend(), remembered);
  dropped.push_back(oldest->second);
  table_.Erase(dropped.back()->id);
}

double Operations::Reap(double now) {
  std::vector<std::shared_ptr<Operation>> dropped;
  double next = std::numeric_limits<double>::infinity();
  std::lock_guard lock(mutex_);
  for (const auto& [id, operation] : table_.entries()) {
    if (operation->callers > 0) continue;
    if (operation->forget_at <= now) {
      dropped.push_back(operation);
    } else {
      next = std::min(next, operation->forget_at);
    }
  }
  for (const auto& operation : dropped) table_.Erase(operation->id);
  return next;
}

void Operations::Clear() {
  std::vector<std::shared_ptr<Operation>> dropped;
  std::lock_guard lock(mutex_);
  for (const auto& [id, operation] : table_.entries()) dropped.push_back(operation);
  table_.Clear();
}

}  // namespace rlx::engine
