// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/engine.h"

#include "runtime/base/file.h"
#include "runtime/base/machine_memory.h"
#include "runtime/base/status.h"
#include "runtime/engine/explain.h"
#include "runtime/engine/housekeeper.h"
#include "runtime/engine/key_diff.h"
#include "runtime/engine/options.h"
#include "runtime/engine/sessions.h"

namespace rlx::engine {
namespace {

EngineOptions Completed(EngineOptions options) {
  if (options.host_memory_bytes <= 0) options.host_memory_bytes = UsableMemory() / 4 * 3;
  if (options.cache_dir.empty()) {  // blobs lie in memory then
    options.blobs.budget_bytes =
        std::min(options.blobs.budget_bytes, static_cast<uint64_t>(UsableMemory() / 4));
  }
  if (options.threads <= 0) {
    options.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  }
  return options;
}

class EngineImpl final : public Engine {
 public:
  EngineImpl(EngineOptions options, device::Registry registry, EngineObserver& observer,
             std::unique_ptr<ArtifactCache> artifacts, std::unique_ptr<cache::BlobStore> blobs,
             std::vector<Warning> warnings)
      : options_(std::move(options)),
        warnings_(std::move(warnings)),
        artifacts_(std::move(artifacts)),
        blobs_(std::move(blobs)),
        targets_(std::move(registry), options_.threads),
        // Weights that no session has first: a context is soon made anew, but a session wants it.
        memory_(options_.host_memory_bytes,
                [this] { return weights_.EvictOne() || loader_.contexts().EvictOne(); }),
        weights_([&observer](int64_t bytes) { observer.WeightsEvicted(bytes); }),
        loader_(weights_, memory_, options_.max_contexts),
        compiler_(options_, targets_, *artifacts_, observer),
        sessions_(options_, compiler_, targets_, *blobs_, loader_, observer),
        housekeeper_(
            [this](double now) { return std::min(compiler_.Reap(now), sessions_.Reap(now)); }) {}

  const EngineOptions& options() const override { return options_; }

  absl::StatusOr<Compiled> Compile(const Principal& who, CompileSpec spec, const CompileCall& call,
                                   const CancelToken& cancel) override {
    const Gate::Pass pass(gate_);
    if (!pass) return Draining();
    return Settled(compiler_.Compile(who, std::move(spec), call, cancel));
  }

  std::optional<Compiled> Recall(const Principal& who, const Digest256& request) override {
    const Gate::Pass pass(gate_);
    return pass ? compiler_.Recall(who, request) : std::nullopt;
  }

  absl::StatusOr<Compiled> WaitCompile(const Principal& who, const RandomId& operation,
                                       const CompileCall& call,
                                       const CancelToken& cancel) override {
    const Gate::Pass pass(gate_);
    if (!pass) return Draining();
    return Settled(compiler_.Wait(who, operation, call, cancel));
  }

  absl::StatusOr<Compiled> Inspect(const Principal& who, const Digest256& key,
                                   const CancelToken& cancel) override {
    const Gate::Pass pass(gate_);
    if (!pass) return Draining();
    return compiler_.Load(who, key, cancel);
  }

  absl::StatusOr<Lowered> Lower(const CompileSpec& spec, Stage stage, const CancelToken& cancel,
                                FusionReport* misses) override {
    const Gate::Pass pass(gate_);
    if (!pass) return Draining();
    RLX_TRY(RefuseDump(spec.options));
    return compiler_.Lower(spec, stage, cancel, misses);
  }

  absl::StatusOr<Explained> Explain(const CompileSpec& spec, const CancelToken& cancel,
                                    FusionReport* misses) override {
    const Gate::Pass pass(gate_);
    if (!pass) return Draining();
    RLX_TRY(RefuseDump(spec.options));
    return RunExplain(spec, options_, targets_, cancel, misses);
  }

  absl::StatusOr<Exported> ExportSource(const CompileSpec& spec,
                                        const std::set<std::string>& languages,
                                        const CancelToken& cancel, FusionReport* misses) override {
    const Gate::Pass pass(gate_);
    if (!pass) return Draining();
    RLX_TRY(RefuseDump(spec.options));
    return RunExport(spec, options_, targets_, languages, cancel, misses);
  }

  absl::StatusOr<KeyExplanation> ExplainKey(const CompileSpec& spec) override {
    RLX_ASSIGN(Job job, Understand(spec, options_, targets_));
    return std::move(job.key);
  }

  absl::StatusOr<KeyComparison> CompareKeys(const CompileSpec& one,
                                            const CompileSpec& other) override {
    RLX_ASSIGN(const Job job, Understand(one, options_, targets_));
    RLX_ASSIGN(const Job other_job, Understand(other, options_, targets_));
    return engine::CompareKeys(job, other_job);
  }

  absl::StatusOr<Opened> OpenSession(const Principal& who, OpenSpec spec,
                                     const CancelToken& cancel) override {
    const Gate::Pass pass(gate_);
    if (!pass) return Draining();
    absl::StatusOr<Opened> opened = sessions_.Open(who, std::move(spec), cancel);
    housekeeper_.Wake();
    return opened;
  }

  absl::StatusOr<RunTiming> Run(const Principal& who, const RunSpec& spec, OutputMemory outputs,
                                const CancelToken& cancel) override {
    const Gate::Pass pass(gate_);
    if (!pass) return Draining();
    return sessions_.Run(who, spec, outputs, cancel);
  }

  absl::StatusOr<uint32_t> KeepAlive(const Principal& who, const RandomId& handle,
                                     uint32_t lease_seconds) override {
    absl::StatusOr<uint32_t> granted = sessions_.KeepAlive(who, handle, lease_seconds);
    housekeeper_.Wake();
    return granted;
  }

  absl::Status CloseSession(const Principal& who, const RandomId& handle,
                            const CancelToken& cancel) override {
    return sessions_.Close(who, handle, cancel);
  }

  std::vector<SessionInfo> ListSessions(const Principal& who) override {
    return sessions_.List(who);
  }

  std::vector<DeviceStatus> Devices() override { return targets_.Describe(); }
  std::vector<Warning> Warnings() override {
    std::vector<Warning> all = warnings_;
    if (!targets_.GeneratesCode()) {
      all.emplace_back().what =
          "no back end is loaded: modules compile to reports and LIR, and nothing runs";
    }
    for (const cache::TierStats& tier : artifacts_->Stats()) {
      if (!tier.trouble.empty()) all.emplace_back().what = Cat(tier.tier, " cache: ", tier.trouble);
    }
    return all;
  }
  cache::BlobStore& blobs() override { return *blobs_; }
  std::vector<cache::TierStats> CacheStats() override { return artifacts_->Stats(); }
  std::vector<cache::EntryInfo> CacheList(size_t limit, size_t& total) override {
    return artifacts_->List(limit, total);
  }
  absl::StatusOr<cache::Cleared> CacheClear(const std::vector<std::string>& tiers) override {
    if (tiers.empty() || std::ranges::count(tiers, "memory") > 0) compiler_.ForgetRequests();
    return artifacts_->Clear(tiers);
  }

  absl::Status SetRunTraces(uint32_t every) override {
    if (every > 0 && options_.trace_dir.empty()) {
      return FailedPrecondition("there is no folder for traces");
    }
    sessions_.TraceRuns(every);
    return absl::OkStatus();
  }
  uint32_t run_traces() const override { return sessions_.traces(); }

  EngineStats Stats() override {
    EngineStats stats;
    stats.sessions = sessions_.size();
    stats.pinned_sessions = sessions_.pinned();
    stats.runs_in_flight = sessions_.running();
    const ContextPool::Table& contexts = loader_.contexts();
    stats.contexts = contexts.contexts;
    stats.context_bytes = contexts.bytes;
    stats.contexts_evicted = contexts.evicted;
    stats.runs_waiting = contexts.waiting;
    const WeightTable::Stats weights = weights_.stats();
    stats.weight_sets = weights.sets;
    stats.idle_weight_sets = weights.idle_sets;
    stats.weight_bytes = weights.bytes;
    stats.idle_weight_bytes = weights.idle_bytes;
    stats.host_memory_limit = memory_.limit();
    stats.host_memory_used = memory_.used();
    stats.host_memory_peak = memory_.peak();
    const CompilePool::Load load = compiler_.load();
    stats.compiles_running = load.running;
    stats.compiles_queued = load.queued;
    AddVariants(stats);
    stats.shared_cache = artifacts_->SharedStats();
    const cache::TierStats decoded = artifacts_->Stats().front();
    stats.decoded_modules = static_cast<int64_t>(decoded.entries);
    stats.decoded_bytes = static_cast<int64_t>(decoded.size_bytes);
    const Recollection::Load recalled = compiler_.recalled();
    stats.recalled_requests = static_cast<int64_t>(recalled.entries);
    stats.recalled_bytes = static_cast<int64_t>(recalled.bytes);
    return stats;
  }

  int64_t Drain(const CancelToken& cancel) override {
    gate_.Shut();
    return gate_.WaitEmpty(cancel);
  }
  bool draining() const override { return gate_.shut(); }

 private:
  static absl::Status Draining() { return Unavailable("the server is draining"); }

  // A compile is remembered for a while, also one that was broken off; what a cache had is not.
  absl::StatusOr<Compiled> Settled(absl::StatusOr<Compiled> answer) {
    const bool ran = !answer.ok() || answer->cache == CacheResult::kCompiled ||
                     answer->cache == CacheResult::kFollower;
    if (ran) housekeeper_.Wake();
    return answer;
  }

  void AddVariants(EngineStats& stats) const {
    const VariantCounters& variants = sessions_.variants();
    stats.variants = variants.ready;
    stats.variant_bytes = variants.ready_bytes;
    stats.runs_exact = variants.exact;
    stats.runs_bucket = variants.bucket;
    stats.runs_larger_bucket = variants.larger_bucket;
    stats.runs_waited = variants.waited;
    stats.variants_built = variants.built;
    stats.variants_built_in_background = variants.built_in_background;
    stats.variants_failed = variants.failed;
    stats.variants_evicted = variants.evicted;
  }

  // In the order in which they are needed: each uses those above it.
  const EngineOptions options_;
  const std::vector<Warning> warnings_;  // of the start
  const std::unique_ptr<ArtifactCache> artifacts_;
  const std::unique_ptr<cache::BlobStore> blobs_;
  Targets targets_;
  HostMemory memory_;  // calls weights_ and loader_ when full
  WeightTable weights_;
  Loader loader_;
  Compiler compiler_;
  Sessions sessions_;
  Gate gate_;
  Housekeeper housekeeper_;
};

// What is kept, in cache_dir or in memory.
struct Caches {
  std::unique_ptr<ArtifactCache> artifacts;
  std::unique_ptr<cache::BlobStore> blobs;

  static absl::StatusOr<Caches> Open(const EngineOptions& options, EngineObserver& observer) {
    Caches out;
    RLX_ASSIGN(out.artifacts, ArtifactCache::Open(options, observer));
    const std::string folder = options.cache_dir.empty() ? "" : Cat(options.cache_dir, "/blobs");
    RLX_ASSIGN(out.blobs, cache::BlobStore::Open(folder, options.blobs));
    return out;
  }
};

// Stands in where nobody listens.
EngineObserver& Nobody() {
  static EngineObserver nobody;
  return nobody;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(EngineOptions options,
                                                       device::Registry registry,
                                                       EngineObserver* observer) {
  EngineObserver& listener = observer != nullptr ? *observer : Nobody();
  options = Completed(std::move(options));
  for (const std::string& folder : {options.ir_dump_dir, options.trace_dir}) {
    if (!folder.empty()) RLX_TRY(EnsureDir(folder));
  }
  std::vector<Warning> warnings;
  auto caches = Caches::Open(options, listener);
  if (!caches.ok() && !options.cache_dir.empty()) {
    warnings.push_back({"the cache folder cannot be used: all is kept in memory",
                        Cat("cache_dir ", options.cache_dir, ": ", Message(caches.status()))});
    options.cache_dir.clear();
    options = Completed(std::move(options));
    caches = Caches::Open(options, listener);
  }
  RLX_TRY(caches.status());
  return std::unique_ptr<Engine>(new EngineImpl(std::move(options), std::move(registry), listener,
                                                std::move(caches->artifacts),
                                                std::move(caches->blobs), std::move(warnings)));
}

}  // namespace rlx::engine
