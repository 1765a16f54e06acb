// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/engine/compiler.h"
#include "runtime/engine/gate.h"
#include "runtime/engine/observer.h"
#include "runtime/engine/runnable.h"

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
  DeviceKind device_kind = DeviceKind::kCpu;
  int64_t weight_bytes = 0;

  // A static module is ready at once; of a symbolic one, whatever shapes came last are.
  std::shared_ptr<Loader::Runnable> fixed;
  std::shared_ptr<device::Device> device;
  OrderedWeights weights;  // symbolic: for shapes to come
  std::mutex variants_mutex;
  using Variant = std::pair<DimBinding, std::shared_ptr<Loader::Runnable>>;
  std::list<Variant> variants;  // most recently used first; guarded by variants_mutex

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
  int64_t size() const;
  int64_t running() const { return running_.load(); }

 private:
  using SessionPtr = std::shared_ptr<Session>;
  absl::StatusOr<SessionPtr> Find(const Principal& who, const RandomId& handle);
  absl::StatusOr<Compiled> Obtain(const Principal& who, OpenSpec& spec, const CancelToken& cancel);
  absl::Status CheckRoomLocked() const;
  absl::StatusOr<RunTiming> RunIn(Session& session, const RunSpec& spec, OutputMemory outputs,
                                  const CancelToken& cancel);
  absl::StatusOr<std::shared_ptr<Loader::Runnable>> VariantFor(Session& session,
                                                               const DimBinding& binding,
                                                               const CancelToken& cancel);
  uint32_t Granted(uint32_t lease_seconds) const;

  const EngineOptions& options_;
  Compiler& compiler_;
  Targets& targets_;
  cache::BlobStore& blobs_;
  Loader& loader_;
  EngineObserver& observer_;
  std::atomic<int64_t> running_{0};
  mutable std::mutex mutex_;
  std::unordered_map<RandomId, SessionPtr> sessions_;  // guarded by mutex_
};

}  // namespace rlx::engine
