// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/weight_table.h"

#include "runtime/base/status.h"

namespace rlx::engine {

WeightTable::Use::~Use() {
  if (set_ == nullptr) return;
  std::lock_guard lock(table_->mutex_);
  table_->sets_.Use(key_);
  set_.reset();  // under the lock: whether a set is idle is decided there
}

WeightTable::Use WeightTable::UseOf(const Digest256& key, const Entry& set) {
  Use use;
  use.table_ = this;
  use.key_ = key;
  use.set_ = set;
  return use;
}

absl::StatusOr<WeightTable::Bound> WeightTable::Get(
    const Digest256& key, const std::function<absl::StatusOr<WeightSet>()>& bind,
    const CancelToken& cancel) {
  std::unique_lock lock(mutex_);
  while (const Entry* entry = sets_.Use(key)) {
    if (*entry != nullptr) return Bound{UseOf(key, *entry), true};
    const auto settled = [&] {
      const Entry* now = sets_.Find(key);
      return now == nullptr || *now != nullptr;
    };
    if (cancel.deadline()) {
      changed_.wait_until(lock, cancel.stop(), *cancel.deadline(), settled);
    } else {
      changed_.wait(lock, cancel.stop(), settled);
    }
    if (!settled()) return cancel.Check();
  }
  sets_.Insert(key, nullptr);
  lock.unlock();
  absl::StatusOr<WeightSet> made = bind();
  lock.lock();
  changed_.notify_all();
  if (!made.ok()) {
    sets_.Erase(key);
    return made.status();
  }
  auto set = std::make_shared<const WeightSet>(*std::move(made));
  sets_.Insert(key, set);
  return Bound{UseOf(key, set), false};
}

bool WeightTable::EvictOne() {
  Entry evicted;  // freed after the lock
  {
    std::lock_guard lock(mutex_);
    const auto& entries = sets_.entries();
    for (auto oldest = entries.rbegin(); oldest != entries.rend(); ++oldest) {
      if (!Idle(oldest->second)) continue;
      evicted = oldest->second;
      sets_.Erase(oldest->first);
      break;
    }
  }
  if (evicted == nullptr) return false;
  evicted_(evicted->memory.bytes());
  return true;
}

WeightTable::Stats WeightTable::stats() const {
  std::lock_guard lock(mutex_);
  Stats stats;
  for (const auto& [key, set] : sets_.entries()) {
    if (set == nullptr) continue;
    ++stats.sets;
    stats.bytes += set->memory.bytes();
    if (!Idle(set)) continue;
    ++stats.idle_sets;
    stats.idle_bytes += set->memory.bytes();
  }
  return stats;
}

}  // namespace rlx::engine
