// SPDX-License-Identifier: Apache-2.0
#include "server/scheduling/sequencer.h"

#include <algorithm>

#include "runtime/base/fault.h"

namespace rlx::server {

absl::Status Sequencer::Push(const SequencedPtr& request) {
  std::unique_lock lock(mutex_);
  absl::Status status = PushLocked(request);
  HandOver(std::move(lock));
  if (absl::IsResourceExhausted(status)) observer_.Refused();
  return status;
}

absl::Status Sequencer::PushLocked(const SequencedPtr& request) {
  auto found = sequences_.find(request->sequence_id);
  const bool open = found != sequences_.end() && found->second->open;
  if (!open && !request->starts) {
    return InvalidArgument("inference request for sequence ", request->sequence_id.substr(0, 64),
                           " must specify the START flag on the first request of the sequence");
  }
  if (waiting_ >= options_.max_waiting) return BatchQueue::Full(waiting_, options_.max_waiting);
  if (found == sequences_.end()) {
    auto made = std::make_shared<Sequence>();
    made->id = request->sequence_id;
    made->active = active_ < options_.max_active;
    made->active ? void(++active_) : inactive_.push_back(made);
    found = sequences_.emplace(made->id, made).first;
  }
  Sequence& sequence = *found->second;
  if (request->starts) ++sequence.begun;
  request->start_ = sequence.begun;
  sequence.open = !request->ends;
  sequence.behind.push_back(request);
  ++waiting_;
  TurnLocked(sequence);
  return absl::OkStatus();
}

// The next one's turn, where there is one and it may be.
void Sequencer::TurnLocked(Sequence& sequence) {
  if (!sequence.active || sequence.busy || sequence.behind.empty()) return;
  SequencedPtr next = std::move(sequence.behind.front());
  sequence.behind.pop_front();
  --waiting_;
  sequence.busy = true;
  next->sequence = sequences_.at(sequence.id);
  turns_.push_back(std::move(next));
}

// One thread at a time, which goes on with what others, and what it ends itself, add meanwhile: a
// long row of requests that end at once does not nest. Takes the lock over.
void Sequencer::HandOver(std::unique_lock<std::mutex> lock) {
  if (std::exchange(handing_, true)) return;
  while (!turns_.empty()) {
    SequencedPtr turn = std::move(turns_.front());
    turns_.pop_front();
    Sequence& sequence = *turn->sequence;
    if (turn->starts) {
      sequence.running = turn->start_;
      sequence.states.clear();
    }
    const bool started = sequence.running == turn->start_;
    lock.unlock();
    if (started) {
      host_.push(turn);
    } else {
      turn->status = InvalidArgument("the start of sequence ", turn->sequence_id.substr(0, 64),
                                     " did not run");
      turn->End();
    }
    turn = nullptr;  // with all that it holds: not under the lock
    lock.lock();
  }
  handing_ = false;
}

// The next that wait take its place.
void Sequencer::EraseLocked(Sequence& sequence) {
  const SequencePtr gone = sequences_.at(sequence.id);
  sequences_.erase(gone->id);
  if (!gone->active) {
    std::erase(inactive_, gone);
    return;
  }
  --active_;
  while (active_ < options_.max_active && !inactive_.empty()) {
    const SequencePtr next = inactive_.front();
    inactive_.pop_front();
    next->active = true;
    ++active_;
    TurnLocked(*next);
  }
}

void Sequencer::Ended(SequencedRequest& request, bool ok) {
  std::unique_lock lock(mutex_);
  Sequence& sequence = *request.sequence;
  sequence.busy = false;
  sequence.used = host_.now();
  if (request.ends || (request.starts && !ok)) sequence.running = 0;
  bool arm = false;
  if (!sequence.behind.empty()) {
    TurnLocked(sequence);
  } else if (!sequence.GoesOn() || hurried_) {
    EraseLocked(sequence);
  } else {
    arm = !std::exchange(armed_, true);
  }
  const double when = sequence.used + options_.max_idle;
  HandOver(std::move(lock));
  if (arm) WakeAt(when);
}

bool Sequencer::Forget(SequencedRequest& request) {
  std::unique_lock lock(mutex_);
  const auto found = sequences_.find(request.sequence_id);
  if (found == sequences_.end()) return false;
  auto& behind = found->second->behind;
  const auto place = std::ranges::find_if(
      behind, [&](const SequencedPtr& waiting) { return waiting.get() == &request; });
  if (place == behind.end()) return false;
  const SequencedPtr taken = std::move(*place);
  behind.erase(place);
  --waiting_;
  if (behind.empty() && !found->second->busy && !found->second->GoesOn()) {
    EraseLocked(*found->second);
  }
  const bool late = host_.now() >= taken->deadline;
  taken->status = late ? BatchQueue::TooLate() : Cancelled("the caller has gone");
  HandOver(std::move(lock));
  taken->End();
  late ? observer_.Expired() : observer_.Gone();
  return true;
}

void Sequencer::WakeAt(double when) {
  host_.at(when, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->Sweep();
  });
}

// Ends those that nobody has gone on with; says when the next will be one.
double Sequencer::SweepLocked() {
  const double now = host_.now();
  double next = kNever;
  std::vector<SequencePtr> idle;
  for (const auto& [id, sequence] : sequences_) {
    if (!sequence->active || sequence->busy) continue;
    const double until = sequence->used + options_.max_idle;
    until <= now || hurried_ ? idle.push_back(sequence) : void(next = std::min(next, until));
  }
  for (const SequencePtr& sequence : idle) EraseLocked(*sequence);
  return next;
}

void Sequencer::Sweep() {
  std::unique_lock lock(mutex_);
  const double next = SweepLocked();
  armed_ = next < kNever;
  HandOver(std::move(lock));
  if (next < kNever) WakeAt(next);
}

void Sequencer::Hurry() {
  std::unique_lock lock(mutex_);
  hurried_ = true;
  SweepLocked();
  HandOver(std::move(lock));
}

size_t Sequencer::size() const {
  const std::lock_guard lock(mutex_);
  return sequences_.size();
}

size_t Sequencer::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_;
}

}  // namespace rlx::server
