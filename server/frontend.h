// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <stop_token>

#include "runtime/base/log.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/gate.h"
#include "server/executor.h"
#include "server/metrics.h"
#include "server/scheduling/queues.h"
#include "server/trimmer.h"

namespace rlx::server {

// Sizes that the wire layer enforces; the engine's own stand in EngineOptions.
struct WireLimits {
  uint64_t max_message_bytes = uint64_t{64} << 20;
  uint64_t max_chunk_bytes = uint64_t{4} << 20;
  uint32_t preferred_chunk_bytes = uint32_t{1} << 20;
  uint32_t max_stream_requests = 64;
  uint32_t max_queued_requests = 1024;  // of one model and priority
  uint64_t max_queued_bytes = uint64_t{1} << 30;
};

// What all services share. Outlives them.
struct Frontend {
  engine::Engine& engine;
  Metrics& metrics;
  Executor& executor;
  Logger& log;
  WireLimits limits;
  bool log_fusion = false;    // log the fusion report of every compile
  bool log_dispatch = false;  // and the dispatch report
  // Refuse a request at once whose deadline even a fast run would miss.
  bool admit_by_latency = true;
  // Answer on a gRPC thread, which may be used by one call at a time for that: the others keep the
  // sockets going. See QuickGuard.
  std::atomic<bool> quick_busy{false};
  // Calls that are owed an answer. Shut when the daemon closes: it waits for those inside.
  engine::Gate calls;
  // Stops then too: streams that would wait for their caller's next word end.
  std::stop_source closing;
  Trimmer trimmer{calls};
  // Of the models that have one, and what the inputs of the requests that have no answer come to.
  Queues queues{executor};
  std::atomic<uint64_t> queued_bytes{0};
};

// The right to compute briefly on the thread that received the call, instead of handing over to the
// executor (which costs a wake-up). Not granted while another call has it.
class QuickGuard {
 public:
  explicit QuickGuard(Frontend& frontend)
      : frontend_(frontend),
        held_(!frontend.quick_busy.exchange(true, std::memory_order_acquire)) {}
  ~QuickGuard() {
    if (held_) frontend_.quick_busy.store(false, std::memory_order_release);
  }
  QuickGuard(const QuickGuard&) = delete;
  QuickGuard& operator=(const QuickGuard&) = delete;
  bool held() const { return held_; }

 private:
  Frontend& frontend_;
  const bool held_;
};

}  // namespace rlx::server
