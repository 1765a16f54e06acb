// SPDX-License-Identifier: Apache-2.0
// Threads for one process, lent to runs in teams.
//
// A run leases a team, uses it for all its parallel work and gives it back by dropping it. Teams
// share no worker, so concurrent runs do not wait for each other. The thread that leases takes part
// as member 0. Within a lease the workers spin (then
// yield, and after kSpinMicros sleep), because waking a sleeping thread takes a third of a
// millisecond; outside a lease they sleep.
//
//   ThreadPool pool(/*workers=*/3);
//   Team team = pool.Lease(4);  // up to four members, fewer while others hold workers
//   team.ParallelFor(0, rows, 8, [&](int64_t begin, int64_t end, int member) { ... });
//
// Nothing is allocated after construction. What is computed must not depend on who computes it:
// members claim ranges from a counter, so the split differs from run to run.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "runtime/base/function_ref.h"

namespace rlx {

class CancelToken;
class Team;

class ThreadPool {
 public:
  // How long a leased worker that has nothing to do keeps its core before it sleeps.
  static constexpr int64_t kSpinMicros = 2000;

  // `workers` threads beside those that call; 0 is a pool whose teams are the caller alone.
  explicit ThreadPool(int workers);
  ~ThreadPool();  // Every team must have been given back.
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int workers() const { return workers_; }

  // A team of min(members, 1 + idle workers), at least the caller. Never blocks. Any thread may
  // call. The workers start waking at once, so lease before work that does not need them.
  Team Lease(int members);

 private:
  friend class Team;
  struct Worker;

  void GiveBack(Worker* first);

  const int workers_;
  std::unique_ptr<Worker[]> all_;
  std::mutex mutex_;
  Worker* idle_ = nullptr;  // linked through Worker::next; guarded by mutex_
};

// Up to size() threads for one run. Movable; used by one thread at a time, the one that counts as
// member 0.
class Team {
 public:
  Team() = default;  // The caller alone, of no pool.
  Team(Team&& other) noexcept;
  Team& operator=(Team&& other) noexcept;
  ~Team();

  int size() const { return size_; }

  // From now on ParallelFor ends early, with pieces left out, once `cancel` is done: whoever asks
  // for work looks at the token before using what was made. It outlives the team.
  void Obey(const CancelToken& cancel) { cancel_ = &cancel; }
  // Whether that token is done. Any member may ask, in the middle of a long piece.
  bool Ended() const;
  // The caller alone, obeying the same token.
  Team Alone() const {
    Team alone;
    alone.cancel_ = cancel_;
    return alone;
  }

  // fn(member, size) once on every member, all at the same time: they may wait for each other at a
  // Barrier(size). Returns when all have finished. Not reentrant: fn must not use the team.
  void Run(FunctionRef<void(int member, int size)> fn);

  // fn(b, e, member) over disjoint pieces that cover [begin, end), each at most `grain` long (grain
  // >= 1). Members claim pieces in ascending order; a worker that is late takes no part, and is not
  // waited for. No Barrier inside. Member 0 looks at the token before each of its pieces.
  void ParallelFor(int64_t begin, int64_t end, int64_t grain,
                   FunctionRef<void(int64_t begin, int64_t end, int member)> fn);

 private:
  friend class ThreadPool;
  Team(ThreadPool* pool, ThreadPool::Worker* first, int size)
      : pool_(pool), first_(first), size_(size) {}

  ThreadPool* pool_ = nullptr;
  ThreadPool::Worker* first_ = nullptr;
  int size_ = 1;
  const CancelToken* cancel_ = nullptr;  // null: nobody ends it
};

// A meeting point of `parties` threads; usable again at once. Waits by spinning, then by yielding.
class Barrier {
 public:
  explicit Barrier(int parties) : parties_(parties) {}
  void Wait();

 private:
  const int parties_;
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<uint32_t> phase_{0};
};

}  // namespace rlx
