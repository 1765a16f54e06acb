// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/context_pool.h"

#include <algorithm>
#include <limits>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"

namespace rlx::engine {

ContextPool::ContextPool(std::shared_ptr<const device::Executable> executable, int max,
                         HostMemory& memory, Table& table)
    : executable_(std::move(executable)),
      max_(static_cast<size_t>(std::max(1, max))),
      memory_(memory),
      table_(table) {
  const std::lock_guard lock(table_.mutex_);
  table_.pools_.insert(this);
}

ContextPool::~ContextPool() {
  {
    const std::lock_guard lock(table_.mutex_);
    table_.pools_.erase(this);
  }
  for (const auto& slot : slots_) {
    --table_.contexts;
    table_.bytes -= slot->memory.bytes();
  }
}

absl::StatusOr<std::unique_ptr<ContextPool::Slot>> ContextPool::Make() {
  const device::Program& program = executable_->program();
  auto slot = std::make_unique<Slot>();
  RLX_ASSIGN(slot->memory, memory_.Reserve(program.arena_bytes + program.scratch_bytes));
  RLX_ASSIGN(slot->context, executable_->NewContext());
  slot->memory.Resize(slot->context->bytes());
  slot->spare.resize(program.outputs.size());
  ++table_.contexts;
  table_.bytes += slot->memory.bytes();
  return slot;
}

template <class Condition>
absl::Status ContextPool::WaitUntil(std::unique_lock<std::mutex>& lock, const CancelToken& cancel,
                                    Condition condition) {
  ++table_.waiting;
  const bool there = cancel.deadline()
                         ? changed_.wait_until(lock, cancel.stop(), *cancel.deadline(), condition)
                         : changed_.wait(lock, cancel.stop(), condition);
  --table_.waiting;
  return there ? absl::OkStatus() : cancel.Check();
}

absl::StatusOr<ContextPool::Lease> ContextPool::Acquire(const CancelToken& cancel) {
  std::unique_lock lock(mutex_);
  while (free_.empty()) {
    if (!MayGrowLocked()) {
      RLX_TRY(WaitUntil(lock, cancel, [this] { return !free_.empty() || MayGrowLocked(); }));
      continue;
    }
    ++making_;
    lock.unlock();
    absl::StatusOr<std::unique_ptr<Slot>> made = Make();
    lock.lock();
    --making_;
    if (made.ok()) {
      slots_.push_back(*std::move(made));
      return Lease(*this, slots_.back().get());
    }
    changed_.notify_all();                     // whoever waited for room to grow
    if (slots_.empty()) return made.status();  // nobody will give one back
    RLX_TRY(WaitUntil(lock, cancel, [this] { return !free_.empty() || slots_.empty(); }));
  }
  Slot* slot = free_.back();
  free_.pop_back();
  return Lease(*this, slot);
}

void ContextPool::GiveBack(Slot* slot) {
  {
    std::lock_guard lock(mutex_);
    slot->used_seconds = MonotonicSeconds();
    free_.push_back(slot);
  }
  changed_.notify_one();
}

double ContextPool::OldestIdle() {
  const std::lock_guard lock(mutex_);
  return free_.empty() ? std::numeric_limits<double>::infinity() : free_.front()->used_seconds;
}

std::unique_ptr<ContextPool::Slot> ContextPool::TakeOldestIdle() {
  const std::lock_guard lock(mutex_);
  if (free_.empty()) return nullptr;  // lent meanwhile
  const auto place = std::find_if(slots_.begin(), slots_.end(),
                                  [this](const auto& slot) { return slot.get() == free_.front(); });
  std::unique_ptr<Slot> taken = std::move(*place);
  slots_.erase(place);
  free_.erase(free_.begin());
  changed_.notify_all();
  return taken;
}

bool ContextPool::Table::EvictOne() {
  std::unique_ptr<Slot> taken;  // freed after the lock
  const std::lock_guard lock(mutex_);
  while (taken == nullptr) {
    ContextPool* oldest = nullptr;
    double when = std::numeric_limits<double>::infinity();
    for (ContextPool* pool : pools_) {
      const double idle = pool->OldestIdle();
      if (idle >= when) continue;
      oldest = pool;
      when = idle;
    }
    if (oldest == nullptr) return false;
    taken = oldest->TakeOldestIdle();
  }
  --contexts;
  bytes -= taken->memory.bytes();
  ++evicted;
  return true;
}

}  // namespace rlx::engine
