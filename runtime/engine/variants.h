// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <list>
#include <set>

#include "runtime/cache/single_flight.h"
#include "runtime/engine/buckets.h"
#include "runtime/engine/compile_pool.h"
#include "runtime/engine/compiler.h"
#include "runtime/engine/runnable.h"

namespace rlx::engine {

// One specialisation of a symbolic module, ready to run.
struct Variant {
  Specialisation of;
  std::shared_ptr<Loader::Runnable> runnable;
  int64_t bytes = 0;  // arena and code

  bool Serves(const DimBinding& sizes) const {
    return of.up_to ? Holds(of.sizes, sizes) : of.sizes == sizes;
  }
};
using VariantPtr = std::shared_ptr<const Variant>;

// Over all sessions of an engine.
struct VariantCounters {
  std::atomic<int64_t> ready{0}, ready_bytes{0};
  // Runs by what served them.
  std::atomic<uint64_t> exact{0}, bucket{0}, larger_bucket{0}, waited{0};
  std::atomic<uint64_t> built{0}, built_in_background{0}, failed{0}, evicted{0};
};

// The specialisations of one session's module. A run takes the smallest bucket that holds its sizes
// and is ready; what would suit it better is then made in the background. It waits only when
// nothing serves it, and what it waits for is made even if it goes before that. Sizes that keep
// coming get a variant of their own. Where padding would change a result (stages: SpecializeUpTo)
// every variant is exact. Bounded in number and in bytes: the least recently used go. Thread safe.
class Variants : public std::enable_shared_from_this<Variants> {
 public:
  struct Limits {
    size_t count = 16;
    int64_t bytes = 0;  // of arenas and code; 0: no limit
    int contexts = 0;   // of each; as Loader::Load has it
  };
  // What all sessions share; outlives them.
  struct Shared {
    Compiler& compiler;
    Loader& loader;
    CompilePool& background;
    CompilePool& awaited;  // what a run waits for does not queue behind the background
    VariantCounters& counters;
    std::stop_token stop;  // of both
    Limits limits;
  };
  Variants(Shared shared, ModulePtr module, std::shared_ptr<device::Device> device,
           OrderedWeights weights);
  ~Variants();

  // `sizes` binds every symbol and is admissible. DeadlineExceeded or Cancelled when the caller's
  // time ends before a variant is ready.
  absl::StatusOr<VariantPtr> For(const DimBinding& sizes, const CancelToken& cancel);

  const ModulePtr& module() const { return module_; }

 private:
  using Builds = cache::SingleFlight<VariantPtr>;

  Specialisation WantedLocked(const DimBinding& sizes);
  VariantPtr BestLocked(const DimBinding& sizes);
  void MakeInBackground(const Specialisation& wanted);
  absl::StatusOr<VariantPtr> MakeFor(const DimBinding& sizes, Specialisation wanted,
                                     const CancelToken& cancel);
  absl::StatusOr<VariantPtr> Await(const Specialisation& wanted, const CancelToken& cancel);
  absl::StatusOr<VariantPtr> Make(const Specialisation& wanted);
  VariantPtr Keep(VariantPtr made);

  const Shared shared_;
  const ModulePtr module_;
  const std::shared_ptr<device::Device> device_;
  const OrderedWeights weights_;
  Builds builds_;  // that runs wait for

  std::mutex mutex_;
  std::list<VariantPtr> ready_;  // most recently used first; guarded by mutex_, as below
  int64_t ready_bytes_ = 0;
  std::set<Specialisation> making_;    // in the background
  std::set<Specialisation> hopeless_;  // buckets that cannot be had
  std::map<DimBinding, int> asked_;    // runs by sizes
  bool can_pad_ = true;
};

}  // namespace rlx::engine
