// SPDX-License-Identifier: Apache-2.0
#include "server/scheduling/batcher.h"

#include "runtime/base/fault.h"
#include "runtime/base/status.h"

namespace rlx::server {
namespace {

constexpr double kBusyPause = 0.01;  // after the host had no thread
// The timer is asked again then: the calls that it keeps do not pile up, whatever deadlines are.
constexpr double kLongestSleep = 1;

void EndAll(const std::vector<WaitingPtr>& requests) {
  for (const WaitingPtr& request : requests) request->End();
}

}  // namespace

Batcher::Batcher(QueueOptions options, Host host, QueueObserver* observer)
    : host_(std::move(host)),
      observer_(observer == nullptr ? nobody_ : *observer),
      queue_(std::move(options)) {}

void Batcher::Push(const WaitingPtr& request) {
  std::unique_lock lock(mutex_);
  request->status = PushLocked(request);
  if (request->status.ok()) return Advance(std::move(lock));
  lock.unlock();
  observer_.Refused();
  request->End();
}

// With an order answers wait too, for those before them: what is kept is bounded all the same.
absl::Status Batcher::PushLocked(const WaitingPtr& request) {
  if (!options().in_order) return queue_.Push(request, host_.now());
  const size_t most = options().PolicyOf(request->level).max_size;
  const auto running = static_cast<size_t>(options().instances * options().max_rows);
  if (order_.size() >= most + running) return BatchQueue::Full(order_.size(), most);
  RLX_TRY(queue_.Push(request, host_.now()));
  order_[request->place_.number] = nullptr;
  return absl::OkStatus();
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
  // A caller goes when its own clock says so, a little before ours does or after.
  const bool late = host_.now() >= taken->deadline;
  taken->status = late ? BatchQueue::TooLate() : Cancelled("the caller has gone");
  Finish({taken}, false, std::move(lock));
  late ? observer_.Expired() : observer_.Gone();
}

void Batcher::Hurry() {
  std::unique_lock lock(mutex_);
  queue_.Hurry();
  Advance(std::move(lock));
}

size_t Batcher::waiting() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

// Does all that may be done now. Takes the lock over.
void Batcher::Advance(std::unique_lock<std::mutex> lock) {
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
  double wake = std::min(queue_.NextExpiry(), look_again);
  if (wake < kNever) wake = std::min(wake, now + kLongestSleep);
  const bool arm = wake < armed_;
  if (arm) armed_ = wake;
  lock.unlock();
  if (arm) WakeAt(wake);
  for (const std::shared_ptr<Batch>& batch : ready) Begin(batch);
  if (late.empty()) return;
  Finish(late, false, std::unique_lock(mutex_));
  for (size_t i = 0; i < late.size(); ++i) observer_.Expired();
}

void Batcher::WakeAt(double when) {
  host_.at(when, [weak = weak_from_this()] {
    const std::shared_ptr<Batcher> self = weak.lock();
    if (self == nullptr) return;
    std::unique_lock lock(self->mutex_);
    self->armed_ = kNever;
    self->Advance(std::move(lock));
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

void Batcher::Begin(const std::shared_ptr<Batch>& batch) {
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
  Advance(std::move(lock));  // what comes next runs while these are told
  Finish(batch->requests, true, std::unique_lock(mutex_));
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
  Finish(batch->requests, false, std::move(lock));
  for (size_t i = 0; i < batch->requests.size(); ++i) observer_.Refused();
  WakeAt(soon);  // for those behind
}

// Tells what became of requests: at once, but for those that ran where an order is asked for.
// Takes the lock over.
void Batcher::Finish(const std::vector<WaitingPtr>& ended, bool ran,
                     std::unique_lock<std::mutex> lock) {
  if (!options().in_order) {
    lock.unlock();
    return EndAll(ended);
  }
  for (const WaitingPtr& request : ended) {
    if (ran) {
      order_[request->place_.number] = request;
    } else {
      order_.erase(request->place_.number);
    }
  }
  if (!ran) {
    lock.unlock();
    EndAll(ended);
    lock.lock();
  }
  TellInOrder(std::move(lock));
}

void Batcher::TellInOrder(std::unique_lock<std::mutex> lock) {
  if (telling_) return;  // that thread goes on with what there is now
  telling_ = true;
  while (!order_.empty() && order_.begin()->second != nullptr) {
    WaitingPtr first = std::move(order_.begin()->second);
    order_.erase(order_.begin());
    lock.unlock();
    first->End();
    first = nullptr;  // with all that it holds: not under the lock
    lock.lock();
  }
  telling_ = false;
}

}  // namespace rlx::server
