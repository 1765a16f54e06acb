// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <thread>
#include <utility>

#include "runtime/base/cancel.h"

namespace rlx {
namespace {

using Clock = std::chrono::steady_clock;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits politely: a few microseconds of pauses, then the core is offered to others between looks.
class Spinner {
 public:
  void Once() { ++count_ < kPauses ? Pause() : static_cast<void>(sched_yield()); }
  int64_t count() const { return count_; }

 private:
  static constexpr int64_t kPauses = 4000;
  int64_t count_ = 0;
};

// One dispatch. Lives on the caller's stack: `pending` reaching zero is the last that a worker
// touches.
struct Job {
  FunctionRef<void(int member)> fn;
  alignas(64) std::atomic<int> pending;
};

}  // namespace

// A worker and the mailbox through which it is given work. The mailbox holds a Job that nobody has
// taken yet; whoever exchanges it for nullptr, the worker to do it or the caller to take it back,
// owns it.
struct alignas(64) ThreadPool::Worker {
  std::atomic<Job*> mail{nullptr};
  std::atomic<bool> leased{false};
  std::atomic<uint32_t> leases{0};  // how often it was lent: a sleeper gets up for a new lease
  std::atomic<bool> quit{false};
  std::atomic<bool> asleep{false};
  std::mutex mutex;
  std::condition_variable wake;
  Worker* next = nullptr;  // in the idle list, or in the team
  int member = 0;
  std::thread thread;

  void Post(Job* job) {
    mail.store(job, std::memory_order_seq_cst);
    WakeIfAsleep();
  }

  // Pairs with Sleep: either this sees asleep, or the sleeper's check sees what was stored before
  // this call.
  void WakeIfAsleep() {
    if (!asleep.load(std::memory_order_seq_cst)) return;
    {
      std::lock_guard<std::mutex> lock(mutex);
    }
    wake.notify_one();
  }

  bool Called() const { return mail.load(std::memory_order_seq_cst) != nullptr || quit.load(); }

  // Until there is mail, a new lease, or the end.
  void Sleep() {
    std::unique_lock<std::mutex> lock(mutex);
    asleep.store(true, std::memory_order_seq_cst);
    const uint32_t known = leases.load(std::memory_order_seq_cst);
    wake.wait(lock, [&] { return Called() || leases.load() != known; });
    asleep.store(false, std::memory_order_seq_cst);
  }

  // Spins while leased and not yet tired; true when called.
  bool SpinUntilCalled() {
    Spinner spinner;
    const Clock::time_point tired = Clock::now() + std::chrono::microseconds(kSpinMicros);
    while (!Called()) {
      spinner.Once();
      if (spinner.count() % 64 != 0) continue;
      if (!leased.load(std::memory_order_relaxed) || Clock::now() > tired) return false;
    }
    return true;
  }

  void Loop() {
    while (true) {
      if (!SpinUntilCalled()) Sleep();
      if (quit.load()) return;
      Job* job = mail.exchange(nullptr, std::memory_order_acq_rel);
      if (job == nullptr) continue;
      job->fn(member);
      job->pending.fetch_sub(1, std::memory_order_release);
    }
  }
};

ThreadPool::ThreadPool(int workers)
    : workers_(std::max(workers, 0)), all_(std::make_unique<Worker[]>(workers_)) {
  for (int i = workers_ - 1; i >= 0; --i) {
    all_[i].next = std::exchange(idle_, &all_[i]);
    all_[i].thread = std::thread([worker = &all_[i]] { worker->Loop(); });
  }
}

ThreadPool::~ThreadPool() {
  for (int i = 0; i < workers_; ++i) {
    all_[i].quit.store(true);
    all_[i].WakeIfAsleep();
  }
  for (int i = 0; i < workers_; ++i) all_[i].thread.join();
}

Team ThreadPool::Lease(int members) {
  Worker* first = nullptr;
  int size = 1;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    for (; size < members && idle_ != nullptr; ++size) {
      Worker* worker = std::exchange(idle_, idle_->next);
      worker->next = std::exchange(first, worker);
      worker->member = size;
    }
  }
  for (Worker* w = first; w != nullptr; w = w->next) {
    w->leased.store(true, std::memory_order_relaxed);
    w->leases.fetch_add(1, std::memory_order_seq_cst);
    w->WakeIfAsleep();
  }
  return Team(this, first, size);
}

void ThreadPool::GiveBack(Worker* first) {
  Worker* last = first;
  for (Worker* w = first; w != nullptr; last = w, w = w->next) {
    w->leased.store(false, std::memory_order_relaxed);
  }
  std::lock_guard<std::mutex> lock(mutex_);
  last->next = std::exchange(idle_, first);
}

Team::Team(Team&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)),
      first_(std::exchange(other.first_, nullptr)),
      size_(std::exchange(other.size_, 1)),
      cancel_(other.cancel_) {}

Team& Team::operator=(Team&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(first_, other.first_);
  std::swap(size_, other.size_);
  std::swap(cancel_, other.cancel_);
  return *this;
}

Team::~Team() {
  if (first_ != nullptr) pool_->GiveBack(first_);
}

bool Team::Ended() const { return cancel_ != nullptr && cancel_->done(); }

void Team::Run(FunctionRef<void(int member, int size)> fn) {
  const int size = size_;
  auto one = [&](int member) { fn(member, size); };
  Job job{.fn = one, .pending = size - 1};
  for (ThreadPool::Worker* w = first_; w != nullptr; w = w->next) w->Post(&job);
  one(0);
  for (Spinner spinner; job.pending.load(std::memory_order_acquire) != 0;) spinner.Once();
}

void Team::ParallelFor(int64_t begin, int64_t end, int64_t grain,
                       FunctionRef<void(int64_t begin, int64_t end, int member)> fn) {
  alignas(64) std::atomic<int64_t> next{begin};
  auto claim = [&](int member) {
    while (true) {
      const int64_t b = next.fetch_add(grain, std::memory_order_relaxed);
      if (b >= end) return;
      if (member == 0 && Ended()) {
        next.store(end, std::memory_order_relaxed);
        return;
      }
      fn(b, std::min(b + grain, end), member);
    }
  };
  const bool alone = end - begin <= grain;
  Job job{.fn = claim, .pending = alone ? 0 : size_ - 1};
  if (!alone) {
    for (ThreadPool::Worker* w = first_; w != nullptr; w = w->next) w->Post(&job);
  }
  claim(0);
  if (alone) return;
  for (ThreadPool::Worker* w = first_; w != nullptr; w = w->next) {
    if (w->mail.exchange(nullptr, std::memory_order_acq_rel) != nullptr) {
      job.pending.fetch_sub(1, std::memory_order_relaxed);
    }
  }
  for (Spinner spinner; job.pending.load(std::memory_order_acquire) != 0;) spinner.Once();
}

void Barrier::Wait() {
  const uint32_t phase = phase_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == parties_ - 1) {
    arrived_.store(0, std::memory_order_relaxed);
    phase_.store(phase + 1, std::memory_order_release);
    return;
  }
  for (Spinner spinner; phase_.load(std::memory_order_acquire) == phase;) spinner.Once();
}

}  // namespace rlx
