// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/variants.h"

#include <algorithm>

#include "runtime/base/status.h"
#include "runtime/engine/key.h"

namespace rlx::engine {
namespace {

// Runs at the same sizes after which a variant for them alone pays.
constexpr int kFrequent = 32;
// Sizes whose runs are counted.
constexpr size_t kMaxAsked = 4096;

double Work(const DimBinding& sizes) {
  double work = 1;
  for (const auto& [symbol, size] : sizes) work *= static_cast<double>(size);
  return work;
}

// A bucket that cannot be had; the sizes by themselves may be.
bool TryExact(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsInvalidArgument(status) ||
         absl::IsResourceExhausted(status);
}

}  // namespace

Variants::Variants(Shared shared, ModulePtr module, std::shared_ptr<device::Device> device,
                   OrderedWeights weights)
    : shared_(std::move(shared)),
      module_(std::move(module)),
      device_(std::move(device)),
      weights_(std::move(weights)),
      builds_([&pool = shared_.awaited](std::function<void()> work) {
        return pool.Submit(std::move(work));
      }) {}

Variants::~Variants() {
  shared_.counters.ready -= static_cast<int64_t>(ready_.size());
  shared_.counters.ready_bytes -= ready_bytes_;
}

absl::StatusOr<VariantPtr> Variants::For(const DimBinding& sizes, const CancelToken& cancel) {
  Specialisation wanted;
  {
    std::lock_guard lock(mutex_);
    wanted = WantedLocked(sizes);
    if (VariantPtr best = BestLocked(sizes)) {
      VariantCounters& count = shared_.counters;
      ++(!best->of.up_to ? count.exact : best->of == wanted ? count.bucket : count.larger_bucket);
      if (best->of.up_to && best->of != wanted && making_.insert(wanted).second) {
        MakeInBackground(wanted);
      }
      return best;
    }
  }
  ++shared_.counters.waited;
  return MakeFor(sizes, std::move(wanted), cancel);
}

Specialisation Variants::WantedLocked(const DimBinding& sizes) {
  if (asked_.size() >= kMaxAsked) asked_.clear();
  if (hopeless_.size() >= kMaxAsked) hopeless_.clear();
  if (!can_pad_ || ++asked_[sizes] > kFrequent) return {sizes, false};
  Specialisation bucket = {BucketFor(sizes, module_->artifact.lir.graph.symbols), true};
  return hopeless_.contains(bucket) ? Specialisation{sizes, false} : bucket;
}

// Exact before padded, then the least work.
VariantPtr Variants::BestLocked(const DimBinding& sizes) {
  auto best = ready_.end();
  for (auto it = ready_.begin(); it != ready_.end(); ++it) {
    if (!(*it)->Serves(sizes)) continue;
    const bool better = best == ready_.end() || ((*best)->of.up_to && !(*it)->of.up_to) ||
                        ((*best)->of.up_to && Work((*it)->of.sizes) < Work((*best)->of.sizes));
    if (better) best = it;
  }
  if (best == ready_.end()) return nullptr;
  ready_.splice(ready_.begin(), ready_, best);
  return ready_.front();
}

void Variants::MakeInBackground(const Specialisation& wanted) {
  const absl::Status queued = shared_.background.Submit([weak = weak_from_this(), wanted] {
    const std::shared_ptr<Variants> self = weak.lock();
    if (self == nullptr) return;
    if (self->Make(wanted).ok()) {
      ++self->shared_.counters.built_in_background;
    }
    std::lock_guard lock(self->mutex_);
    self->making_.erase(wanted);
  });
  if (!queued.ok()) making_.erase(wanted);  // there is work enough; it will be asked for again
}

absl::StatusOr<VariantPtr> Variants::MakeFor(const DimBinding& sizes, Specialisation wanted,
                                             const CancelToken& cancel) {
  absl::StatusOr<VariantPtr> made = Await(wanted, cancel);
  if (made.ok() || !wanted.up_to || !TryExact(made.status())) return made;
  return Await({sizes, false}, cancel);
}

// A build is one of those who wait for it, so that it does not stop when all others have gone.
absl::StatusOr<VariantPtr> Variants::Await(const Specialisation& wanted,
                                           const CancelToken& cancel) {
  const Digest256 key = SpecialisedKey(module_->key, wanted);
  auto own_place = std::make_shared<std::optional<Builds::Ticket>>();
  Builds::Ticket ticket =
      builds_.Join(key,
                   [weak = weak_from_this(), wanted, own_place](
                       const CancelToken&, std::monostate&) -> absl::StatusOr<VariantPtr> {
                     const std::shared_ptr<Variants> self = weak.lock();
                     if (self == nullptr) return Cancelled("the session has gone");
                     return self->Make(wanted);
                   });
  if (!ticket.follower()) *own_place = builds_.Attach(key);
  return ticket.Wait(cancel);
}

absl::StatusOr<VariantPtr> Variants::Make(const Specialisation& wanted) {
  const CancelToken cancel(shared_.stop);  // nobody's deadline
  const auto make = [&]() -> absl::StatusOr<VariantPtr> {
    RLX_ASSIGN(const ModulePtr module, shared_.compiler.Specialise(module_, wanted, cancel));
    if (module->artifact.program == nullptr) {
      return FailedPrecondition("nothing to run: ", module->artifact.why_no_program);
    }
    RLX_ASSIGN(Loader::Loaded loaded,
               shared_.loader.Load(module, *device_, weights_, shared_.limits.contexts, cancel));
    const int64_t bytes = module->memory.arena_bytes + module->memory.code_bytes;
    return std::make_shared<const Variant>(Variant{wanted, std::move(loaded.runnable), bytes});
  };
  absl::StatusOr<VariantPtr> made = make();
  if (!made.ok()) {
    // Where a bucket cannot be had the size itself is made: that fails, or nothing does.
    const bool falls_back = wanted.up_to && TryExact(made.status());
    if (!falls_back && !cancel.done()) ++shared_.counters.failed;
    std::lock_guard lock(mutex_);
    if (falls_back) hopeless_.insert(wanted);
    can_pad_ &= !(wanted.up_to && absl::IsFailedPrecondition(made.status()));
    return made.status();
  }
  ++shared_.counters.built;
  return Keep(*std::move(made));
}

// Someone may have made the same meanwhile: then that is the one.
VariantPtr Variants::Keep(VariantPtr made) {
  std::list<VariantPtr> dropped;  // freed after the lock
  std::lock_guard lock(mutex_);
  for (const VariantPtr& ready : ready_) {
    if (ready->of == made->of) return ready;
  }
  VariantCounters& count = shared_.counters;
  const auto add = [&](int64_t number, int64_t bytes) {
    ready_bytes_ += bytes;
    count.ready += number;
    count.ready_bytes += bytes;
  };
  ready_.push_front(made);
  add(1, made->bytes);
  const Limits& limits = shared_.limits;
  while (ready_.size() > 1 && (ready_.size() > std::max<size_t>(1, limits.count) ||
                               (limits.bytes > 0 && ready_bytes_ > limits.bytes))) {
    add(-1, -ready_.back()->bytes);
    ++count.evicted;
    dropped.splice(dropped.begin(), ready_, std::prev(ready_.end()));
  }
  return made;
}

}  // namespace rlx::engine
