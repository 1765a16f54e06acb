// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <unordered_map>

#include "server/scheduling/batch_queue.h"

namespace rlx::server {

struct SequencedRequest;

// What a model keeps of one sequence of requests. The states are touched by the one request whose
// turn it is; the rest is the sequencer's.
struct Sequence {
  std::vector<std::string> states;  // the elements of each state tensor

 private:
  friend class Sequencer;
  std::string id;
  bool open = false;     // as things will be after all that has come: it may go on
  bool started = false;  // its start has run, or runs
  bool active = false;   // one of max_active
  bool busy = false;     // one of its requests is with the queue
  std::deque<std::shared_ptr<SequencedRequest>> behind;
  double used = 0;
};

// One request of a sequence.
struct SequencedRequest : Waiting {
  std::string sequence_id;
  bool starts = false, ends = false;
  std::shared_ptr<Sequence> sequence;  // set when it is its turn
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
  Sequencer(Options options, Host host) : options_(options), host_(std::move(host)) {}

  // InvalidArgument for a sequence that has not begun, ResourceExhausted when too many wait:
  // the request then does not run.
  absl::Status Push(const SequencedPtr& request);
  // Its caller has gone. Takes it out where it waits for its sequence; false: it does not.
  bool Forget(SequencedRequest& request);
  // It has ended: the next one's turn.
  void Ended(SequencedRequest& request, bool ok);

  size_t size() const;  // sequences

 private:
  using SequencePtr = std::shared_ptr<Sequence>;
  SequencedPtr NextLocked(Sequence& sequence);
  void EraseLocked(Sequence& sequence, std::vector<SequencedPtr>& turns);
  void Hand(const std::vector<SequencedPtr>& turns);
  void Sweep();
  void WakeAt(double when);

  const Options options_;
  const Host host_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, SequencePtr> sequences_;  // guarded by mutex_, as below
  std::deque<SequencePtr> inactive_;                        // in the order in which they began
  size_t active_ = 0;
  size_t waiting_ = 0;
  bool armed_ = false;
};

}  // namespace rlx::server
