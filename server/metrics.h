// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "runtime/engine/observer.h"

namespace rlx::engine {
class Engine;
}

namespace rlx::server {

class ModelStore;
class QueueObserver;

// Counters of one RPC, made once and kept: recording a call costs a few atomic additions.
class MethodMetrics {
 public:
  virtual ~MethodMetrics() = default;
  virtual void Started() = 0;
  // A message of this many bytes came or went: before, between and after the two.
  virtual void Received(size_t bytes) = 0;
  virtual void Sent(size_t bytes) = 0;
  virtual void Finished(absl::StatusCode code, double seconds) = 0;
};

// All that /metrics shows, prefixed rlxd_, and the process_ metrics. Labels are bounded: method
// names, codes, rules, reasons, tiers, phases, device kinds, the first kMostModels versions of the
// operator's models; nothing that a client chooses. Thread safe.
class Metrics : public engine::EngineObserver {
 public:
  static constexpr size_t kMostModels = 1000;
  static std::unique_ptr<Metrics> Create();
  // What is read at scrape time comes from the engine; null: none (any more).
  virtual void SetEngine(engine::Engine* engine) = 0;
  // Likewise of the models that are served.
  virtual void SetModels(const ModelStore* models) = 0;
  virtual void SetState(bool ready, bool draining) = 0;
  // A version of a model was loaded, or was not.
  virtual void ModelLoadEnded(bool ok, double seconds) = 0;
  // A call was refused before it began: "queue_full", or "deadline", which passed while it waited
  // or is known to be too close.
  virtual void AdmissionRejected(std::string_view reason) = 0;
  // A request ended at this engine::RunStage because its caller had gone or its time was over.
  virtual void Cancelled(std::string_view stage) = 0;
  // A request's time was over while it waited in its model's queue: both of these.
  virtual void Expired() = 0;
  // What happens in the queue of a model, whichever version of it has it. Kept.
  virtual QueueObserver& Queue(const std::string& model) = 0;
  // A call was refused; `limit` is one of Limits or Budgets.
  virtual void LimitRejected(std::string_view limit) = 0;
  virtual MethodMetrics& Method(std::string_view service, std::string_view method) = 0;
  // The text exposition format (version 0.0.4).
  virtual std::string Render() = 0;
};

}  // namespace rlx::server
