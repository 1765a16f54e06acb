// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/engine/compiler.h"
#include "runtime/engine/gate.h"
#include "runtime/engine/observer.h"
#include "runtime/engine/variants.h"

namespace rlx::cache {
class BlobStore;
}

namespace rlx::engine {

// An executable with its weights, owned by a principal, under a lease. Thread safe.
struct Session {
  RandomId handle;
  std::string principal;
  Compiled compiled;
  uint32_t lease_seconds = 0;
  bool pinned = false;
  DeviceKind device_kind = DeviceKind::kCpu;
  int64_t weight_bytes = 0;

  std::shared_ptr<device::Device> device;
  std::shared_ptr<Loader::Runnable> fixed;  // of a static module; null:
  std::shared_ptr<Variants> variants;       // of a symbolic one

  Gate gate;  // runs
  std::atomic<double> expires_at{0};
  std::atomic<uint64_t> runs{0};
};

// The half of the engine that runs. Thread safe.
class Sessions {
 public:
  // All outlive it.
  Sessions(const EngineOptions& options, Compiler& compiler, Targets& targets,
           cache::BlobStore& blobs, Loader& loader, EngineObserver& observer);
  ~Sessions();  // Ends all; nothing may run.

  absl::StatusOr<Opened> Open(const Principal& who, OpenSpec spec, const CancelToken& cancel);
  absl::StatusOr<RunTiming> Run(const Principal& who, const RunSpec& spec, OutputMemory outputs,
                                const CancelToken& cancel);
  absl::StatusOr<uint32_t> KeepAlive(const Principal& who, const RandomId& handle,
                                     uint32_t lease_seconds);
  absl::Status Close(const Principal& who, const RandomId& handle, const CancelToken& cancel);
  std::vector<SessionInfo> List(const Principal& who);

  // Ends sessions whose lease has run out; when to call again (infinity: when one is opened).
  double Reap(double now);
  int64_t size() const;    // those under a lease
  int64_t pinned() const;  // the others
  int64_t running() const { return running_.load(); }
  const VariantCounters& variants() const { return variant_counters_; }

  // Engine::SetRunTraces.
  void TraceRuns(uint32_t every) { trace_every_.store(every, std::memory_order_relaxed); }
  uint32_t traces() const { return trace_every_.load(std::memory_order_relaxed); }

 private:
  using SessionPtr = std::shared_ptr<Session>;
  absl::StatusOr<SessionPtr> Find(const Principal& who, const RandomId& handle);
  absl::StatusOr<Compiled> Obtain(const Principal& who, OpenSpec& spec, const CancelToken& cancel);
  absl::Status CheckRoomLocked(bool pinned) const;
  absl::StatusOr<RunTiming> RunAndTrace(Session& session, RunSpec spec, OutputMemory outputs,
                                        const CancelToken& cancel, RunStage& stage);
  absl::StatusOr<RunTiming> RunIn(Session& session, const RunSpec& spec, OutputMemory outputs,
                                  const CancelToken& cancel, RunStage& stage);
  absl::StatusOr<RunTiming> RunSymbolic(Session& session, const RunSpec& spec,
                                        const std::vector<size_t>& input_order,
                                        std::span<const std::span<const uint8_t>> inputs,
                                        const std::vector<size_t>& outputs, OutputMemory memory,
                                        const CancelToken& cancel, RunStage& stage);
  uint32_t Granted(uint32_t lease_seconds) const;
  bool LeavesTrace();

  const EngineOptions& options_;
  Compiler& compiler_;
  Targets& targets_;
  cache::BlobStore& blobs_;
  Loader& loader_;
  EngineObserver& observer_;
  std::atomic<int64_t> running_{0};
  std::atomic<uint32_t> trace_every_{0};
  std::atomic<uint32_t> trace_turn_{0};
  mutable std::mutex mutex_;
  VariantCounters variant_counters_;
  std::unordered_map<RandomId, SessionPtr> sessions_;  // guarded by mutex_, as below
  size_t pinned_ = 0;
  std::stop_source stop_;
  CompilePool background_, awaited_;  // last: what they do for sessions ends before those do
};

}  // namespace rlx::engine
