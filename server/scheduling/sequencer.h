// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <unordered_map>

#include "server/scheduling/batcher.h"

namespace rlx::server {

struct SequencedRequest;

// What a model keeps of one sequence of requests. The states are touched by the one request whose
// turn it is; the rest is the sequencer's.
struct Sequence {
  std::vector<std::string> states;  // the elements of each state tensor

 private:
  friend class Sequencer;
  std::string id;
  uint64_t begun = 0;    // starts that have come
  uint64_t running = 0;  // the one that its requests go on with: it has run, or runs; 0: none
  bool open = false;     // after all that has come: its end has not
  bool active = false;   // one of max_active
  bool busy = false;     // one of its requests is with the queue
  std::deque<std::shared_ptr<SequencedRequest>> behind;
  double used = 0;

  // Whether a request that comes now may run.
  bool GoesOn() const { return open && running == begun; }
};

// One request of a sequence.
struct SequencedRequest : Waiting {
  std::string sequence_id;
  bool starts = false, ends = false;
  std::shared_ptr<Sequence> sequence;  // set when it is its turn

 private:
  friend class Sequencer;
  uint64_t start_ = 0;  // the start that it follows, by number; its own
};
using SequencedPtr = std::shared_ptr<SequencedRequest>;

// Hands requests of sequences to a model's queue: those of one sequence one after the other, as
// they came; of at most max_active sequences, where others wait until one has ended or was idle for
// too long. Thread safe; clock, timer and queue are the host's.
class Sequencer : public std::enable_shared_from_this<Sequencer> {
 public:
  struct Options {
    size_t max_active = 1;
    size_t max_waiting = 1024;  // requests that wait for their sequence; more are refused
    double max_idle = 1;        // seconds
  };
  struct Host {
    std::function<double()> now;
    std::function<void(double, std::function<void()>)> at;
    // Ends it sooner or later; its End then calls Ended.
    std::function<void(const SequencedPtr&)> push;
  };
  // `observer` may be null; outlives it. Its queue's own: it hears of those that never came there.
  Sequencer(Options options, Host host, QueueObserver* observer)
      : options_(options), host_(std::move(host)), observer_(observer ? *observer : nobody_) {}

  // InvalidArgument for a sequence that has not begun, ResourceExhausted when too many wait:
  // the request then does not run.
  absl::Status Push(const SequencedPtr& request);
  // Its caller has gone. Ends it where it waits for its sequence; false: it does not.
  bool Forget(SequencedRequest& request);
  // It has ended: the next one's turn.
  void Ended(SequencedRequest& request, bool ok);

  // Nobody goes on with a sequence any more but who waits already: idle ones end at once.
  void Hurry();

  size_t size() const;     // sequences
  size_t waiting() const;  // requests

 private:
  using SequencePtr = std::shared_ptr<Sequence>;
  absl::Status PushLocked(const SequencedPtr& request);
  void TurnLocked(Sequence& sequence);
  void EraseLocked(Sequence& sequence);
  double SweepLocked();
  void HandOver(std::unique_lock<std::mutex> lock);
  void Sweep();
  void WakeAt(double when);

  const Options options_;
  const Host host_;
  QueueObserver nobody_;
  QueueObserver& observer_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, SequencePtr> sequences_;  // guarded by mutex_, as below
  std::deque<SequencePtr> inactive_;                        // in the order in which they began
  std::deque<SequencedPtr> turns_;  // whose turn it is, on their way to the queue
  bool handing_ = false;            // some thread hands them over
  bool hurried_ = false;
  size_t active_ = 0;
  size_t waiting_ = 0;
  bool armed_ = false;
};

}  // namespace rlx::server
