// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/engine/session.h"

namespace rlx::engine {

// One request to compile has its answer. Of those that waited for one compile, the first to have it
// is kCompiled and carries the report: what ran and what fusion did are counted once.
struct CompileEvent {
  DeviceKind device = DeviceKind::kCpu;
  const absl::Status& status;
  CacheResult cache = CacheResult::kCompiled;  // when status is OK
  CompilePhase phase = CompilePhase::kDone;    // where it failed, otherwise kDone
  double seconds = 0;
  // Null unless this request compiled, whatever its status:
  const PhaseSeconds* phases = nullptr;
  const FusionReport* fusion = nullptr;
  const DispatchReport* dispatch = nullptr;
};

struct RunEvent {
  DeviceKind device = DeviceKind::kCpu;
  absl::StatusCode code = absl::StatusCode::kOk;
  RunStage stage = RunStage::kCompute;  // where it ended
  double queue_seconds = 0;
  double compute_seconds = 0;
};

enum class SessionEnd : uint8_t { kClosed, kLeaseExpired, kShutdown };

// Hears what the engine does, for metrics and logs. Called by any thread, several at a time, some
// of them in the middle of a run: count and return. Must not call the engine. What can be read at
// any time (sizes, queue lengths) is in Engine::Stats instead.
class EngineObserver {
 public:
  virtual ~EngineObserver() = default;
  virtual void CompileFinished(const CompileEvent&) {}
  virtual void RunFinished(const RunEvent&) {}
  virtual void SessionOpened(DeviceKind, bool weights_shared) { (void)weights_shared; }
  virtual void SessionEnded(DeviceKind, SessionEnd) {}
  // A "get" or "put" of a cache tier; both names are constants.
  virtual void CacheOperation(std::string_view tier, std::string_view operation, double seconds) {
    (void)tier, (void)operation, (void)seconds;
  }
  // An idle WeightSet went to make room.
  virtual void WeightsEvicted(int64_t bytes) { (void)bytes; }
};

}  // namespace rlx::engine
