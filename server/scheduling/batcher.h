// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <mutex>
#include <stop_token>

#include "server/scheduling/batch_queue.h"

namespace rlx::server {

// Requests that run together.
struct Batch {
  std::vector<WaitingPtr> requests;
  int64_t rows = 0;
  std::stop_source stop;  // requested once all callers have gone
  size_t wanted = 0;      // by so many; the batcher's
};

// Hears what becomes of requests. Any thread, with no lock held; must not call the batcher.
class QueueObserver {
 public:
  virtual ~QueueObserver() = default;
  virtual void Refused() {}  // the queue is full, or there is no thread for the run
  virtual void Began(double seconds_waited) { (void)seconds_waited; }
  virtual void Batched(int64_t rows) { (void)rows; }
  virtual void Expired() {}  // its time was over before it could run
  virtual void Gone() {}     // its caller had gone by then
};

// One model's queue at work: at most options.instances batches run at a time, each on a thread that
// the host gives. Made by std::make_shared; lives as long as anything of it is under way. Thread
// safe. Clock, threads and timer are the host's, so that a test decides when what happens.
class Batcher : public std::enable_shared_from_this<Batcher> {
 public:
  struct Host {
    std::function<double()> now;
    // Runs it on another thread; false: there is none.
    std::function<bool(std::function<void()>)> submit;
    // Calls it at that time or a little later, on a thread of its own.
    std::function<void(double, std::function<void()>)> at;
    // Blocks; sets the status of each request.
    std::function<void(Batch&)> run;
  };
  // `observer` may be null; outlives it.
  Batcher(QueueOptions options, Host host, QueueObserver* observer);

  const QueueOptions& options() const { return queue_.options(); }
  // Ends it, sooner or later. Does not block.
  void Push(const WaitingPtr& request);
  // Its caller has gone: it leaves the queue at once, or its run does not wait for it.
  void Forget(Waiting& request);
  // Nobody waits for others any more: the model, or the daemon, is about to go.
  void Hurry();
  size_t waiting() const;

 private:
  absl::Status PushLocked(const WaitingPtr& request);
  void Advance(std::unique_lock<std::mutex> lock);
  std::shared_ptr<Batch> BeginLocked(std::vector<WaitingPtr> requests, double now);
  void Begin(const std::shared_ptr<Batch>& batch);
  void Run(const std::shared_ptr<Batch>& batch);
  void RefuseAll(const std::shared_ptr<Batch>& batch);
  void Finish(const std::vector<WaitingPtr>& ended, bool ran, std::unique_lock<std::mutex> lock);
  void TellInOrder(std::unique_lock<std::mutex> lock);
  void WakeAt(double when);

  const Host host_;
  QueueObserver nobody_;
  QueueObserver& observer_;
  mutable std::mutex mutex_;
  BatchQueue queue_;  // guarded by mutex_, as below
  int running_ = 0;
  double armed_ = kNever;  // the timer's next call
  // With in_order all that were taken and have no answer yet, by arrival; null: it has not run yet.
  std::map<uint64_t, WaitingPtr> order_;
  bool telling_ = false;  // some thread tells what order_ begins with
};

}  // namespace rlx::server
