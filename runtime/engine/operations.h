// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <mutex>

#include "runtime/cache/lru_map.h"
#include "runtime/cache/single_flight.h"
#include "runtime/engine/artifact_cache.h"
#include "runtime/engine/progress.h"
#include "runtime/engine/recall.h"

namespace rlx::engine {

// What a compile hands to all who wait for it.
struct FlightResult {
  ModulePtr module;
  CacheResult cache = CacheResult::kCompiled;
  // Set by the first to have it, who counts as the one that compiled.
  std::shared_ptr<std::atomic<bool>> claimed = std::make_shared<std::atomic<bool>>(false);
};
using Flights = cache::SingleFlight<FlightResult, ProgressHub>;

// One caller's compile: its place among those who wait, and what its answer needs.
struct Operation {
  RandomId id;
  std::string principal;
  Meaning meaning;
  std::shared_ptr<const CompileSpec> spec;  // only where dumps are wanted
  std::optional<Digest256> request;
  Flights::Ticket ticket;

  int callers = 0;        // guarded by Operations, as below
  bool finished = false;  // the outcome has been seen
  double forget_at = 0;   // MonotonicSeconds, without callers
};

// Compiles that can be waited for by id. One without callers is kept for a while: so that a caller
// who lost its connection finds the compile again, or its outcome. Thread safe.
class Operations {
 public:
  static constexpr double kRememberSeconds = 60;
  // Finished ones: each may hold a module that no cache holds any more.
  static constexpr int kMaxRemembered = 64;

  explicit Operations(double reattach_seconds) : reattach_seconds_(reattach_seconds) {}

  // A caller of an operation, as long as it waits.
  class Caller {
   public:
    Caller(Operations& table, std::shared_ptr<Operation> operation);
    ~Caller();
    Caller(const Caller&) = delete;
    Caller& operator=(const Caller&) = delete;
    Operation& operator*() const { return *operation_; }
    Operation* operator->() const { return operation_.get(); }
    // What the wait ended with.
    void Finish(bool outcome_seen, const absl::Status& status);

   private:
    Operations& table_;
    const std::shared_ptr<Operation> operation_;
    bool seen_ = false;
    bool broken_off_ = false;
  };

  // Null: unknown, forgotten, or someone else's.
  std::shared_ptr<Operation> Find(const std::string& principal, const RandomId& id);

  // Forgets what is due; when to call again (infinity: when something is added).
  double Reap(double now);
  void Clear();

 private:
  void Enter(const std::shared_ptr<Operation>& operation);
  void Leave(const std::shared_ptr<Operation>& operation, bool seen, bool broken_off);
  void ForgetOldestLocked(std::vector<std::shared_ptr<Operation>>& dropped);

  const double reattach_seconds_;
  std::mutex mutex_;
  cache::LruMap<RandomId, std::shared_ptr<Operation>> table_;
};

}  // namespace rlx::engine
