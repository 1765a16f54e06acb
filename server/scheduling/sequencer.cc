// SPDX-License-Identifier: Apache-2.0
#include "server/scheduling/sequencer.h"

#include <algorithm>

#include "runtime/base/fault.h"

namespace rlx::server {

absl::Status Sequencer::Push(const SequencedPtr& request) {
  std::unique_lock lock(mutex_);
  auto found = sequences_.find(request->sequence_id);
  const bool open = found != sequences_.end() && found->second->open;
  if (!open && !request->starts) {
    return InvalidArgument("inference request for sequence ", request->sequence_id.substr(0, 64),
                           " must specify the START flag on the first request of the sequence");
  }
  if (waiting_ >= options_.max_waiting) {
    return TryLater(WithLimit(
        ResourceExhausted("Exceeds maximum queue size: ", waiting_, " requests of sequences wait"),
        "max_queued_requests", options_.max_waiting));
  }
  if (found == sequences_.end()) {
    auto made = std::make_shared<Sequence>();
    made->id = request->sequence_id;
    made->active = active_ < options_.max_active;
    made->active ? void(++active_) : inactive_.push_back(made);
    found = sequences_.emplace(made->id, made).first;
  }
  Sequence& sequence = *found->second;
  sequence.open = !request->ends;
  sequence.behind.push_back(request);
  ++waiting_;
  const SequencedPtr turn = NextLocked(sequence);
  lock.unlock();
  if (turn != nullptr) Hand({turn});
  return absl::OkStatus();
}

// Whose turn it is; null: nobody's now.
SequencedPtr Sequencer::NextLocked(Sequence& sequence) {
  if (!sequence.active || sequence.busy || sequence.behind.empty()) return nullptr;
  const SequencedPtr next = sequence.behind.front();
  sequence.behind.pop_front();
  --waiting_;
  sequence.busy = true;
  next->sequence = sequences_.at(sequence.id);
  return next;
}

void Sequencer::Hand(const std::vector<SequencedPtr>& turns) {
  for (const SequencedPtr& turn : turns) {
    Sequence& sequence = *turn->sequence;
    if (turn->starts) {
      sequence.started = true;
      sequence.states.clear();
    }
    if (sequence.started) {
      host_.push(turn);
    } else {
      turn->status =
          InvalidArgument("the start of sequence ", turn->sequence_id.substr(0, 64), " has failed");
      turn->End();
    }
  }
}

// The next that wait take its place.
void Sequencer::EraseLocked(Sequence& sequence, std::vector<SequencedPtr>& turns) {
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
    if (SequencedPtr turn = NextLocked(*next)) turns.push_back(std::move(turn));
  }
}

void Sequencer::Ended(SequencedRequest& request, bool ok) {
  std::vector<SequencedPtr> turns;
  std::unique_lock lock(mutex_);
  Sequence& sequence = *request.sequence;
  sequence.busy = false;
  sequence.used = host_.now();
  if (request.ends || (request.starts && !ok)) sequence.started = false;
  bool arm = false;
  if (!sequence.behind.empty()) {
    turns.push_back(NextLocked(sequence));
  } else if (!sequence.started) {
    EraseLocked(sequence, turns);
  } else {
    arm = !std::exchange(armed_, true);
  }
  const double when = sequence.used + options_.max_idle;
  lock.unlock();
  if (arm) WakeAt(when);
  Hand(turns);
}

bool Sequencer::Forget(SequencedRequest& request) {
  std::vector<SequencedPtr> turns;
  std::unique_lock lock(mutex_);
  const auto found = sequences_.find(request.sequence_id);
  if (found == sequences_.end()) return false;
  auto& behind = found->second->behind;
  const auto place = std::ranges::find_if(
      behind, [&](const SequencedPtr& waiting) { return waiting.get() == &request; });
  if (place == behind.end()) return false;
  const SequencedPtr taken = *place;
  behind.erase(place);
  --waiting_;
  if (behind.empty() && !found->second->busy && !found->second->started) {
    EraseLocked(*found->second, turns);
  }
  lock.unlock();
  taken->status = Cancelled("the caller has gone");
  taken->End();
  Hand(turns);
  return true;
}

void Sequencer::WakeAt(double when) {
  host_.at(when, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->Sweep();
  });
}

// Those that nobody has gone on with.
void Sequencer::Sweep() {
  std::vector<SequencedPtr> turns;
  std::unique_lock lock(mutex_);
  const double now = host_.now();
  double next = kNever;
  std::vector<SequencePtr> idle;
  for (const auto& [id, sequence] : sequences_) {
    if (!sequence->active || sequence->busy) continue;
    const double until = sequence->used + options_.max_idle;
    until <= now ? idle.push_back(sequence) : void(next = std::min(next, until));
  }
  for (const SequencePtr& sequence : idle) EraseLocked(*sequence, turns);
  armed_ = next < kNever;
  lock.unlock();
  if (next < kNever) WakeAt(next);
  Hand(turns);
}

size_t Sequencer::size() const {
  const std::lock_guard lock(mutex_);
  return sequences_.size();
}

}  // namespace rlx::server
