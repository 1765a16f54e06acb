// SPDX-License-Identifier: Apache-2.0
#include "server/scheduling/batcher.h"

#include "runtime/base/fault.h"

namespace rlx::server {
namespace {

constexpr double kBusyPause = 0.01;  // after the host had no thread

}  // namespace

Batcher::Batcher(QueueOptions options, Host host, QueueObserver* observer)
    : host_(std::move(host)),
      observer_(observer == nullptr ? nobody_ : *observer),
      queue_(std::move(options)) {}

void Batcher::Push(const WaitingPtr& request, bool here) {
  std::unique_lock lock(mutex_);
  request->status = queue_.Push(request, host_.now());
  if (!request->status.ok()) {
    lock.unlock();
    observer_.Refused();
    request->End();
    return;
  }
  if (options().in_order) order_[request->place_.number] = nullptr;
  Advance(std::move(lock), here);
}

void Batcher::Forget(Waiting& request) {
  std::unique_lock lock(mutex_);
  if (const auto batch = request.batch_.lock()) {
    if (--batch->wanted > 0) return;
    lock.unlock();
    batch->stop.request_stop();
    return;
  }
  const WaitingPtr taken = queue_.Remove(request);
  if (taken == nullptr) return;  // it has ended
  taken->status = Cancelled("the caller has gone");
  Finish({taken}, std::move(lock));
  observer_.Left();
}

void Batcher::Hurry() {
  std::unique_lock lock(mutex_);
  queue_.Hurry();
  Advance(std::move(lock), false);
}

size_t Batcher::waiting() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

// Does all that may be done now. Takes the lock over.
void Batcher::Advance(std::unique_lock<std::mutex> lock, bool here) {
  const double now = host_.now();
  const std::vector<WaitingPtr> late = queue_.Expire(now);
  std::vector<std::shared_ptr<Batch>> ready;
  double look_again = kNever;
  while (running_ < options().instances && queue_.size() > 0) {
    BatchQueue::Taken taken = queue_.Take(now);
    look_again = taken.look_again;
    if (taken.requests.empty()) break;
    ready.push_back(BeginLocked(std::move(taken.requests), now));
  }
  const double wake = std::min(queue_.NextExpiry(), look_again);
  const bool arm = wake < armed_;
  if (arm) armed_ = wake;
  Finish(late, std::move(lock));
  if (arm) WakeAt(wake);
  for (size_t i = 0; i < late.size(); ++i) observer_.Left();
  for (size_t i = ready.size(); i-- > 0;) Begin(ready[i], here && i == 0);
}

void Batcher::WakeAt(double when) {
  host_.at(when, [weak = weak_from_this()] {
    const std::shared_ptr<Batcher> self = weak.lock();
    if (self == nullptr) return;
    std::unique_lock lock(self->mutex_);
    self->armed_ = kNever;
    self->Advance(std::move(lock), false);
  });
}

std::shared_ptr<Batch> Batcher::BeginLocked(std::vector<WaitingPtr> requests, double now) {
  ++running_;
  auto batch = std::make_shared<Batch>();
  for (const WaitingPtr& request : requests) {
    request->begun = now;
    request->batch_ = batch;
    batch->rows += request->rows;
  }
  batch->wanted = requests.size();
  batch->requests = std::move(requests);
  return batch;
}

void Batcher::Begin(const std::shared_ptr<Batch>& batch, bool here) {
  if (here) return Run(batch);
  if (!host_.submit([self = shared_from_this(), batch] { self->Run(batch); })) RefuseAll(batch);
}

void Batcher::Run(const std::shared_ptr<Batch>& batch) {
  observer_.Batched(batch->rows);
  for (const WaitingPtr& request : batch->requests) {
    observer_.Began(request->begun - request->arrival);
  }
  host_.run(*batch);
  std::unique_lock lock(mutex_);
  --running_;
  for (const WaitingPtr& request : batch->requests) request->batch_.reset();
  Advance(std::move(lock), false);  // what comes next runs while these are told
  Finish(batch->requests, std::unique_lock(mutex_));
}

void Batcher::RefuseAll(const std::shared_ptr<Batch>& batch) {
  std::unique_lock lock(mutex_);
  --running_;
  for (const WaitingPtr& request : batch->requests) {
    request->batch_.reset();
    request->status = TryLater(ResourceExhausted("too many calls wait already"));
  }
  const double soon = host_.now() + kBusyPause;
  armed_ = std::min(armed_, soon);
  Finish(batch->requests, std::move(lock));
  observer_.Refused();
  WakeAt(soon);  // for those behind
}

// Tells what became of requests: at once, or in the order in which they came. Takes the lock over.
void Batcher::Finish(const std::vector<WaitingPtr>& ended, std::unique_lock<std::mutex> lock) {
  if (!options().in_order) {
    lock.unlock();
    for (const WaitingPtr& request : ended) request->End();
    return;
  }
  for (const WaitingPtr& request : ended) order_[request->place_.number] = request;
  if (telling_) return;  // that thread goes on with these
  telling_ = true;
  while (!order_.empty() && order_.begin()->second != nullptr) {
    const WaitingPtr first = std::move(order_.begin()->second);
    order_.erase(order_.begin());
    lock.unlock();
    first->End();
    lock.lock();
  }
  telling_ = false;
}

}  // namespace rlx::server
