// SPDX-License-Identifier: Apache-2.0
#include "server/scheduling/queues.h"

#include "runtime/base/clock.h"
#include "server/executor.h"

namespace rlx::server {

std::shared_ptr<Batcher> Queues::Make(QueueOptions options, std::function<void(Batch&)> run,
                                      QueueObserver* observer) {
  Batcher::Host host;
  host.now = MonotonicSeconds;
  host.submit = [this](std::function<void()> task) { return executor_.Submit(std::move(task)); };
  host.at = [this](double when, std::function<void()> call) { timer_.At(when, std::move(call)); };
  host.run = std::move(run);
  auto made = std::make_shared<Batcher>(std::move(options), std::move(host), observer);
  const std::lock_guard lock(mutex_);
  std::erase_if(all_, [](const auto& batcher) { return batcher.expired(); });
  all_.push_back(made);
  return made;
}

std::shared_ptr<Sequencer> Queues::MakeSequencer(const std::shared_ptr<Batcher>& batcher,
                                                 QueueObserver* observer) {
  const QueueOptions& said = batcher->options();
  Sequencer::Host host;
  host.now = MonotonicSeconds;
  host.at = [this](double when, std::function<void()> call) { timer_.At(when, std::move(call)); };
  host.push = [batcher](const SequencedPtr& request) { batcher->Push(request); };
  auto made = std::make_shared<Sequencer>(
      Sequencer::Options{said.sequences, said.policy.max_size, said.max_idle}, std::move(host),
      observer);
  const std::lock_guard lock(mutex_);
  std::erase_if(sequencers_, [](const auto& sequencer) { return sequencer.expired(); });
  sequencers_.push_back(made);
  return made;
}

int64_t Queues::Drain(const CancelToken& cancel) {
  if (!admitted_.shut()) {
    admitted_.Shut();
    std::unique_lock lock(mutex_);
    const auto all = all_;
    const auto sequencers = sequencers_;
    lock.unlock();
    for (const auto& weak : all) {
      if (const auto batcher = weak.lock()) batcher->Hurry();
    }
    for (const auto& weak : sequencers) {
      if (const auto sequencer = weak.lock()) sequencer->Hurry();
    }
  }
  return admitted_.WaitEmpty(cancel);
}

}  // namespace rlx::server
