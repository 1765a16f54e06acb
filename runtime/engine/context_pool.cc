// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/context_pool.h"

#include "runtime/base/status.h"

namespace rlx::engine {

ContextPool::ContextPool(std::shared_ptr<const device::Executable> executable, int max,
                         HostMemory& memory, Counters& counters)
    : executable_(std::move(executable)),
      max_(static_cast<size_t>(std::max(1, max))),
      memory_(memory),
      counters_(counters) {}

ContextPool::~ContextPool() {
  for (const auto& slot : slots_) {
    --counters_.contexts;
    counters_.bytes -= slot->memory.bytes();
  }
}

absl::StatusOr<std::unique_ptr<ContextPool::Slot>> ContextPool::Make() {
  const device::Program& program = executable_->program();
  auto slot = std::make_unique<Slot>();
  RLX_ASSIGN(slot->memory, memory_.Reserve(program.arena_bytes + program.scratch_bytes));
  RLX_ASSIGN(slot->context, executable_->NewContext());
  slot->memory.Resize(slot->context->bytes());
  slot->spare.resize(program.outputs.size());
  ++counters_.contexts;
  counters_.bytes += slot->memory.bytes();
  return slot;
}

absl::Status ContextPool::WaitForFree(std::unique_lock<std::mutex>& lock,
                                      const CancelToken& cancel) {
  ++counters_.waiting;
  const auto free = [this] { return !free_.empty(); };
  const bool there = cancel.deadline()
                         ? given_back_.wait_until(lock, cancel.stop(), *cancel.deadline(), free)
                         : given_back_.wait(lock, cancel.stop(), free);
  --counters_.waiting;
  return there ? absl::OkStatus() : cancel.Check();
}

absl::StatusOr<ContextPool::Lease> ContextPool::Acquire(const CancelToken& cancel) {
  std::unique_lock lock(mutex_);
  if (free_.empty() && slots_.size() + making_ < max_) {
    ++making_;
    lock.unlock();
    absl::StatusOr<std::unique_ptr<Slot>> made = Make();
    lock.lock();
    --making_;
    if (made.ok()) {
      slots_.push_back(*std::move(made));
      return Lease(*this, slots_.back().get());
    }
    if (slots_.empty()) return made.status();  // nobody will give one back
  }
  while (free_.empty()) RLX_TRY(WaitForFree(lock, cancel));
  Slot* slot = free_.back();
  free_.pop_back();
  return Lease(*this, slot);
}

void ContextPool::GiveBack(Slot* slot) {
  {
    std::lock_guard lock(mutex_);
    free_.push_back(slot);
  }
  given_back_.notify_one();
}

}  // namespace rlx::engine
