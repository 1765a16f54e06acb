// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <set>

#include "absl/status/status.h"
#include "server/scheduling/options.h"

namespace rlx::server {

inline constexpr double kNever = std::numeric_limits<double>::infinity();

struct Batch;

// One request that waits. Who makes it sets the first part; times are seconds on the queue's clock.
struct Waiting {
  virtual ~Waiting() = default;
  // Says what became of it: `status`. Once, by any thread, with no lock held.
  virtual void End() = 0;

  int64_t rows = 1;            // of a batch
  std::vector<int64_t> shape;  // requests of one shape can be one batch
  uint64_t level = 1;          // of priority: 1 is first
  double deadline = kNever;    // past it nobody wants the answer
  double timeout = kNever;     // its own, for the queue; a duration
  double run_seconds = 0;      // what its run is thought to take

  absl::Status status;  // OK: it ran
  double arrival = 0;   // both set by the queue's owner
  double begun = 0;

 private:
  friend class BatchQueue;
  friend class Batcher;
  // Its place: those of a lower level first; then those whose time in the queue has not passed;
  // then the most urgent; then the first.
  struct Place {
    uint64_t level = 0;
    bool late = false;
    double urgency = 0;
    uint64_t number = 0;
    friend auto operator<=>(const Place&, const Place&) = default;
  };
  Place place_;
  double times_out_ = kNever;
  bool queued_ = false;
  std::weak_ptr<Batch> batch_;  // that it runs in
};
using WaitingPtr = std::shared_ptr<Waiting>;

// The order in which a model's requests run, and which of them run together. Knows no threads and
// no clock: what time it is stands in each call, and never goes back. A priority waits for all
// before it. Within one the earlier deadline is first, where nobody is overtaken for longer than
// kPatience: a request without a deadline, or with a distant one, is as urgent as one whose
// deadline is that far behind its arrival. The first request chooses the shape of a batch; others
// of that shape follow in their order.
class BatchQueue {
 public:
  static constexpr double kPatience = 1;

  explicit BatchQueue(QueueOptions options) : options_(std::move(options)) {}

  const QueueOptions& options() const { return options_; }
  size_t size() const { return waiting_.size(); }

  // ResourceExhausted, as Full says it, when its priority has as many as it may.
  absl::Status Push(const WaitingPtr& request, double now);
  static absl::Status Full(size_t waiting, size_t limit);
  static absl::Status TooLate();
  // Takes it out; null: it is not here.
  WaitingPtr Remove(Waiting& request);
  // Takes out those whose deadline has passed, or whose time here has where that refuses them. Sets
  // their status: DeadlineExceeded.
  std::vector<WaitingPtr> Expire(double now);
  // When that will have something to do.
  double NextExpiry() const { return expiries_.empty() ? kNever : expiries_.begin()->first; }

  // What is to run now: requests of one shape, at most max_rows, or a single one with more. None:
  // all that is here had better wait for others until `look_again`.
  struct Taken {
    std::vector<WaitingPtr> requests;
    double look_again = kNever;
  };
  Taken Take(double now);

  // Nobody waits for others any more.
  void Hurry() { hurry_ = true; }

 private:
  // The requests of one shape that would run together.
  struct Group {
    std::vector<WaitingPtr> members;
    int64_t rows = 0;
    size_t preferred = 0;  // so many of the members are a preferred size; 0: there is none
    bool full = false;
    double due = kNever;  // when it runs however few they are
  };
  std::vector<Group> Groups(double now) const;
  void Join(const WaitingPtr& request, double now, std::vector<Group>& groups) const;
  bool MayRun(const Group& group, double now) const;
  void Insert(const WaitingPtr& request);
  WaitingPtr Extract(Waiting& request);
  double ExpiryOf(const Waiting& request) const;

  const QueueOptions options_;
  std::map<Waiting::Place, WaitingPtr> waiting_;
  std::set<std::pair<double, Waiting*>> expiries_;
  std::map<uint64_t, size_t> sizes_;  // by level
  uint64_t next_number_ = 0;
  bool hurry_ = false;
};

}  // namespace rlx::server
