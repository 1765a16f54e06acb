// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/cache/blob_store.h"
#include "runtime/cache/redis_options.h"
#include "runtime/cache/store.h"
#include "runtime/cache/turns.h"
#include "runtime/engine/session.h"

namespace rlx {
class CancelToken;
}
namespace rlx::device {
class Registry;
}

namespace rlx::engine {

class EngineObserver;
struct Explained;
struct Exported;

struct EngineOptions {
  std::string cache_dir;                               // empty: artifacts and blobs in memory only
  uint64_t memory_cache_bytes = uint64_t{256} << 20;   // encoded artifacts
  uint64_t decoded_cache_bytes = uint64_t{256} << 20;  // the same, ready for use
  uint64_t disk_cache_bytes = uint64_t{10} << 30;
  // The tier that replicas share, but for its space; none: there is none.
  std::optional<cache::RedisOptions> shared_cache;
  cache::BlobLimits blobs;
  int64_t host_memory_bytes = 0;  // WeightSets and arenas; 0: 3/4 of what the machine has
  int compile_threads = 2;        // compiles at a time
  int max_queued_compiles = 256;  // more are RESOURCE_EXHAUSTED
  // A compile whose last waiter broke off (not: ran out of time) goes on for so long, for
  // WaitCompile.
  double reattach_seconds = 5;
  int threads = 0;       // of the CPU device; 0: one per core
  int max_contexts = 4;  // concurrent runs of one session; more wait
  // What one session of a symbolic module keeps ready for sizes it has seen.
  int max_variants = 16;
  int64_t max_variant_bytes = int64_t{1} << 30;  // their arenas and code
  uint32_t max_sessions = 1024;
  uint32_t default_lease_seconds = 600;
  uint32_t max_lease_seconds = 86400;
  uint64_t max_inline_weight_bytes = uint64_t{16} << 20;
  Limits limits;
  CompileOptions defaults;  // what requests inherit
  // The same for one device; these first. A fusion switch that is on here stays on, whatever a
  // request says.
  std::map<DeviceKind, CompileOptions> device_defaults;
  // Where each compile leaves its HIR, MIR and LIR as `KEY.ir.txt`; empty: nowhere.
  std::string ir_dump_dir;
  // Where each compile and each run leaves its trace (trace_files.h); empty: nowhere.
  std::string trace_dir;
  std::string salt;  // disowns every artifact made under another
};

// One of the twelve device kinds.
struct DeviceStatus {
  DeviceKind kind = DeviceKind::kCpu;
  bool available = false;  // sessions can be opened
  std::string reason;      // why not
  bool generates_code = false;
  std::string backend;           // empty: none here
  std::string compiler_version;  // "llvm 19.1.7"
  FusionTarget fusion_target = FusionTarget::kCpu;
  FusionLimits limits;
  std::vector<std::string> claims;    // the back end's own, sorted
  std::vector<std::string> profiles;  // sorted
  // By the tables: what fusion may make, and all that counts as run. Sorted.
  std::vector<std::string> fusion_claims, full_claims;
  // When available:
  std::string id, vendor, name, driver;  // "cpu:0", "amd", the processor's model
  device::Target target;
  int64_t memory_bytes = 0;
  int threads = 0;  // CPU
};

// What is held now.
struct EngineStats {
  int64_t sessions = 0, pinned_sessions = 0;
  int64_t contexts = 0, runs_in_flight = 0, runs_waiting = 0;
  int64_t weight_sets = 0, idle_weight_sets = 0;
  int64_t weight_bytes = 0, idle_weight_bytes = 0, context_bytes = 0;
  // Of weight sets, contexts and what makes them; the peak is the most used at once.
  int64_t host_memory_used = 0, host_memory_peak = 0, host_memory_limit = 0;
  int64_t contexts_evicted = 0;  // since the start
  int64_t compiles_running = 0, compiles_queued = 0;
  std::optional<cache::TurnStats> shared_cache;  // where there is such a tier
  int64_t decoded_modules = 0, decoded_bytes = 0;
  int64_t recalled_requests = 0, recalled_bytes = 0;  // callers' words, for hits to speak in
  // Sizes of symbolic modules that are ready; runs by what served them; how many were made.
  int64_t variants = 0, variant_bytes = 0;
  uint64_t runs_exact = 0, runs_bucket = 0, runs_larger_bucket = 0, runs_waited = 0;
  uint64_t variants_built = 0, variants_built_in_background = 0, variants_failed = 0,
           variants_evicted = 0;
};

// What an operator should mend: the engine goes on, and does less than it was asked to.
struct Warning {
  std::string what;    // for anybody
  std::string detail;  // for the operator alone: paths
};

// Everything the daemon does, without a wire: compiles through the cache (one compile per key per
// process however many ask), sessions with shared WeightSets, runs, blobs. Thread safe. Methods
// block the calling thread up to `cancel`; compiles run on the engine's own threads. While
// draining, new work is Unavailable.
class Engine {
 public:
  // `observer` may be null; it outlives the engine. A cache_dir that cannot be used is a warning:
  // artifacts and blobs are then kept in memory.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(EngineOptions options,
                                                        device::Registry registry,
                                                        EngineObserver* observer);
  // Cancels what runs, waits for it, closes all sessions. No other call may be in flight.
  virtual ~Engine() = default;
  virtual const EngineOptions& options() const = 0;

  // InvalidArgument for a bad module or option, NotFound for an unknown profile, ResourceExhausted
  // when the queue is full, FailedPrecondition when assert_fusion_clean finds misses.
  virtual absl::StatusOr<Compiled> Compile(const Principal& who, CompileSpec spec,
                                           const CompileCall& call, const CancelToken& cancel) = 0;
  // The answer to CompileSpec::request as this principal gave it before, if it is still in memory.
  // Does not block: for a thread that may not.
  virtual std::optional<Compiled> Recall(const Principal& who, const Digest256& request) = 0;
  // Attaches again. NotFound: unknown, someone else's, or forgotten. Of `call` only what is heard
  // and filled counts.
  virtual absl::StatusOr<Compiled> WaitCompile(const Principal& who, const RandomId& operation,
                                               const CompileCall& call,
                                               const CancelToken& cancel) = 0;
  // What a key names, from the caches. NotFound.
  virtual absl::StatusOr<Compiled> Inspect(const Principal& who, const Digest256& key,
                                           const CancelToken& cancel) = 0;
  // The stages without code and without the cache, on the calling thread. InvalidArgument for a
  // stage before the module's own. Here and below FailedPrecondition where assert_fusion_clean
  // finds misses, which `misses` (may be null) then gets.
  virtual absl::StatusOr<Lowered> Lower(const CompileSpec& spec, Stage stage,
                                        const CancelToken& cancel, FusionReport* misses) = 0;
  // What becomes of each node, and what the module runs as (explain.h); neither code nor cache, on
  // the calling thread.
  virtual absl::StatusOr<Explained> Explain(const CompileSpec& spec, const CancelToken& cancel,
                                            FusionReport* misses) = 0;
  // The module's kernels as text in these languages, in all when there are none. FailedPrecondition
  // with the reason when no back end here lowers it; InvalidArgument for a language that it does
  // not write.
  virtual absl::StatusOr<Exported> ExportSource(const CompileSpec& spec,
                                                const std::set<std::string>& languages,
                                                const CancelToken& cancel,
                                                FusionReport* misses) = 0;
  virtual absl::StatusOr<KeyExplanation> ExplainKey(const CompileSpec& spec) = 0;
  virtual absl::StatusOr<KeyComparison> CompareKeys(const CompileSpec& one,
                                                    const CompileSpec& other) = 0;

  // NotFound: no such key (any more) or blob. InvalidArgument: weights missing, unknown, twice, of
  // another type or size. OutOfRange: a slice beyond its blob. FailedPrecondition: no device of
  // that kind here, or nothing to run. ResourceExhausted: max_sessions, host_memory_bytes.
  virtual absl::StatusOr<Opened> OpenSession(const Principal& who, OpenSpec spec,
                                             const CancelToken& cancel) = 0;
  // One run; renews the lease. NotFound: unknown, closed or someone else's handle. InvalidArgument:
  // inputs missing, unknown, twice, of another dtype, shape or size. When it fails, what the
  // outputs hold is undefined.
  virtual absl::StatusOr<RunTiming> Run(const Principal& who, const RunSpec& spec,
                                        OutputMemory outputs, const CancelToken& cancel) = 0;
  // The lease as granted; 0 asks for as much as at Open.
  virtual absl::StatusOr<uint32_t> KeepAlive(const Principal& who, const RandomId& handle,
                                             uint32_t lease_seconds) = 0;
  // Refuses new runs at once and returns when those in flight have finished (or at `cancel`: they
  // finish all the same).
  virtual absl::Status CloseSession(const Principal& who, const RandomId& handle,
                                    const CancelToken& cancel) = 0;
  virtual std::vector<SessionInfo> ListSessions(const Principal& who) = 0;

  // All twelve, in order.
  virtual std::vector<DeviceStatus> Devices() = 0;

  // What is wrong now.
  virtual std::vector<Warning> Warnings() = 0;

  // Owners are principals' names.
  virtual cache::BlobStore& blobs() = 0;

  // Tiers, fastest first.
  virtual std::vector<cache::TierStats> CacheStats() = 0;
  // The most recently used `limit` entries; `total` gets the number of all.
  virtual std::vector<cache::EntryInfo> CacheList(size_t limit, size_t& total) = 0;
  // Empty: all tiers. InvalidArgument for an unknown one.
  virtual absl::StatusOr<cache::Cleared> CacheClear(const std::vector<std::string>& tiers) = 0;

  // Of so many runs one leaves its trace in EngineOptions::trace_dir; 0: none does. As created:
  // each does, where there is a folder. FailedPrecondition without one.
  virtual absl::Status SetRunTraces(uint32_t every) = 0;
  virtual uint32_t run_traces() const = 0;

  virtual EngineStats Stats() = 0;

  // Refuses new work from now on; returns when nothing runs any more, or at `cancel` with what
  // still does.
  virtual int64_t Drain(const CancelToken& cancel) = 0;
  virtual bool draining() const = 0;
};

}  // namespace rlx::engine
