// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <unordered_map>
#include <variant>

#include "runtime/base/cancel.h"
#include "runtime/base/sha256.h"
#include "runtime/base/status.h"

namespace rlx::cache {

// One computation a key however many want it. It belongs to nobody who waits: it runs on the
// executor, and its token stops when the last waiter has gone. Its outcome, good or bad, goes to
// all who wait and is then forgotten; whoever comes later starts anew (a cache is there for
// keeping).
//
//   SingleFlight<Artifact, ProgressLog> flight(executor);
//   auto ticket = flight.Join(key, [=](const CancelToken& cancel, ProgressLog& log) { return ...
//   }); absl::StatusOr<Artifact> artifact = ticket.Wait(request_token);
//
// `T` is copied to every waiter: make it a shared_ptr. `Context` is made with the computation and
// shared by it and all waiters, for progress. Thread safe. Outlived by what it started.
template <class T, class Context = std::monostate>
class SingleFlight {
 public:
  using Computation = std::function<absl::StatusOr<T>(const CancelToken& cancel, Context& context)>;
  // Runs the function once on some thread, or refuses: its Status then becomes the outcome.
  // Dropping the function without a call is Cancelled to the waiters.
  using Executor = std::function<absl::Status(std::function<void()>)>;

 private:
  struct Flights;

  struct Operation {
    Digest256 key;
    std::stop_source stop;
    Context context;
    int waiters = 0;                           // guarded by Flights::mutex, as below
    std::optional<absl::StatusOr<T>> outcome;  // set once
    std::condition_variable_any done;
  };

  // What operations and tickets share with the SingleFlight that may be gone before them.
  struct Flights {
    std::mutex mutex;
    std::unordered_map<Digest256, std::shared_ptr<Operation>> by_key;

    // Under the mutex. Another operation may stand under the key by now.
    void Forget(const Operation& operation) {
      auto found = by_key.find(operation.key);
      if (found != by_key.end() && found->second.get() == &operation) by_key.erase(found);
    }

    void Finish(Operation& operation, absl::StatusOr<T> outcome) {
      std::lock_guard lock(mutex);
      if (operation.outcome) return;
      operation.outcome = std::move(outcome);
      Forget(operation);
      operation.done.notify_all();
    }
  };

  // The function given to the executor; finishes the operation even if it is never called.
  struct Task {
    Task(std::shared_ptr<Flights> flights, std::shared_ptr<Operation> operation,
         Computation compute)
        : flights(std::move(flights)),
          operation(std::move(operation)),
          compute(std::move(compute)) {}
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;
    ~Task() { flights->Finish(*operation, Cancelled("the computation was dropped")); }

    void Run() {
      CancelToken cancel(operation->stop.get_token());
      absl::Status alive = cancel.Check();
      if (alive.ok()) {
        flights->Finish(*operation, compute(cancel, operation->context));
      } else {
        flights->Finish(*operation, alive);
      }
    }

    const std::shared_ptr<Flights> flights;
    const std::shared_ptr<Operation> operation;
    const Computation compute;
  };

 public:
  // One waiter's place. Giving it up (destroying it) is how a waiter goes.
  class Ticket {
   public:
    Ticket(Ticket&&) noexcept = default;
    Ticket& operator=(Ticket&& other) noexcept {
      std::swap(flights_, other.flights_);
      std::swap(operation_, other.operation_);
      std::swap(follower_, other.follower_);
      return *this;
    }
    ~Ticket() {
      if (operation_ == nullptr) return;
      bool last;
      {
        std::lock_guard lock(flights_->mutex);
        last = --operation_->waiters == 0 && !operation_->outcome;
        if (last)
          flights_->Forget(*operation_);  // who comes now must not join what is about to stop
      }
      if (last) operation_->stop.request_stop();
    }

    // True when someone else's computation is waited for.
    bool follower() const { return follower_; }
    Context& context() const { return operation_->context; }

    // The outcome, or Cancelled or DeadlineExceeded when this waiter's own token ends first (the
    // place is kept: another Wait may follow). Blocks.
    absl::StatusOr<T> Wait(const CancelToken& waiter) {
      std::unique_lock lock(flights_->mutex);
      auto finished = [&] { return operation_->outcome.has_value(); };
      bool there = waiter.deadline() ? operation_->done.wait_until(lock, waiter.stop(),
                                                                   *waiter.deadline(), finished)
                                     : operation_->done.wait(lock, waiter.stop(), finished);
      if (there) return *operation_->outcome;
      return waiter.Check();
    }

   private:
    friend class SingleFlight;
    Ticket(std::shared_ptr<Flights> flights, std::shared_ptr<Operation> operation, bool follower)
        : flights_(std::move(flights)), operation_(std::move(operation)), follower_(follower) {}

    std::shared_ptr<Flights> flights_;
    std::shared_ptr<Operation> operation_;
    bool follower_;
  };

  explicit SingleFlight(Executor executor) : executor_(std::move(executor)) {}

  // Joins the computation of that key, or starts `compute`.
  Ticket Join(const Digest256& key, Computation compute) {
    auto operation = std::make_shared<Operation>();
    operation->key = key;
    {
      std::lock_guard lock(flights_->mutex);
      auto [place, added] = flights_->by_key.emplace(key, operation);
      ++place->second->waiters;
      if (!added) return Ticket(flights_, place->second, /*follower=*/true);
    }
    auto task = std::make_shared<Task>(flights_, operation, std::move(compute));
    absl::Status accepted = executor_([task] { task->Run(); });
    if (!accepted.ok()) flights_->Finish(*operation, accepted);
    return Ticket(flights_, std::move(operation), /*follower=*/false);
  }

  // Joins the computation of that key if there is one.
  std::optional<Ticket> Attach(const Digest256& key) {
    std::lock_guard lock(flights_->mutex);
    auto found = flights_->by_key.find(key);
    if (found == flights_->by_key.end()) return std::nullopt;
    ++found->second->waiters;
    return Ticket(flights_, found->second, /*follower=*/true);
  }

  size_t in_flight() const {
    std::lock_guard lock(flights_->mutex);
    return flights_->by_key.size();
  }

 private:
  const Executor executor_;
  const std::shared_ptr<Flights> flights_ = std::make_shared<Flights>();
};

}  // namespace rlx::cache
