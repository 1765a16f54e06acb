// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "runtime/engine/gate.h"
#include "server/scheduling/batcher.h"
#include "server/scheduling/sequencer.h"
#include "server/scheduling/timer.h"

namespace rlx::server {

class Executor;

// The queues of all models: their threads, their timer and their end. Thread safe.
class Queues {
 public:
  // Outlives it.
  explicit Queues(Executor& executor) : executor_(executor) {}

  // `run` as Batcher::Host has it.
  std::shared_ptr<Batcher> Make(QueueOptions options, std::function<void(Batch&)> run,
                                QueueObserver* observer);

  // For requests of sequences, which end in `batcher`; its options say how many.
  std::shared_ptr<Sequencer> MakeSequencer(const std::shared_ptr<Batcher>& batcher,
                                           QueueObserver* observer);

  // Each request holds a pass from before it is queued until it has its answer. Refused once
  // drained.
  engine::Gate& admitted() { return admitted_; }
  // Admits nobody any more and lets nobody wait for others; returns how many are left when all have
  // their answers, or at `cancel`.
  int64_t Drain(const CancelToken& cancel);
  // Before the executor goes.
  void Stop() { timer_.Stop(); }

 private:
  Executor& executor_;
  engine::Gate admitted_;
  Timer timer_;
  std::mutex mutex_;
  std::vector<std::weak_ptr<Batcher>> all_;  // guarded by mutex_, as below
  std::vector<std::weak_ptr<Sequencer>> sequencers_;
};

}  // namespace rlx::server
