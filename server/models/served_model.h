// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "inference/model_config.pb.h"
#include "runtime/engine/engine.h"
#include "server/models/latency.h"
#include "server/models/model_stats.h"
#include "server/models/readers.h"
#include "server/models/sequence_plan.h"
#include "server/scheduling/options.h"

namespace rlx::server {

class Batcher;
class Sequencer;

// Where a model's requests wait; for a model with sequences also who says whose turn it is.
struct ModelQueue {
  std::shared_ptr<Batcher> batcher;
  std::shared_ptr<Sequencer> sequencer;
};
using MakeQueue = std::function<ModelQueue(const std::string& model, QueueOptions options)>;

// An input or output as KServe v2 speaks of it.
struct ServedTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::string_view datatype;  // "FP32"
  std::vector<int64_t> dims;  // -1: any extent; with the batch
};

// One version of a model with its session, as long as anybody holds it: requests that run keep it
// while the store has let go of it. Immutable but for its counters and its queue; thread safe.
class ServedModel {
 public:
  // What a version is made from.
  struct Source {
    std::string name;
    int64_t version = 0;
    inference::ModelConfig config;
    Digest256 fingerprint;
    ReadModel model;
    QueueDefaults queues;
  };
  // Compiles, opens a session and warms it up. FailedPrecondition when the model does not fit its
  // config or cannot run here; else what the engine says.
  static absl::StatusOr<std::shared_ptr<const ServedModel>> Load(engine::Engine& engine,
                                                                 Source source,
                                                                 const MakeQueue& make_queue,
                                                                 const CancelToken& cancel);
  ServedModel(engine::Engine& engine, Source source, const engine::Opened& opened);
  ~ServedModel();  // ends the session
  ServedModel(const ServedModel&) = delete;
  ServedModel& operator=(const ServedModel&) = delete;

  const std::string& name() const { return source_.name; }
  int64_t version() const { return source_.version; }
  const std::string& version_text() const { return version_text_; }
  const inference::ModelConfig& config() const { return source_.config; }
  const Digest256& fingerprint() const { return source_.fingerprint; }
  const std::vector<ServedTensor>& inputs() const { return inputs_; }
  const std::vector<ServedTensor>& outputs() const { return outputs_; }
  const RandomId& handle() const { return handle_; }
  ModelStats& stats() const { return stats_; }
  LatencyTable& latency() const { return latency_; }
  // Where its requests wait for others, or for an instance; null: they run as they come.
  Batcher* queue() const { return queue_.batcher.get(); }
  // Null: its requests are of no sequence.
  Sequencer* sequencer() const { return queue_.sequencer.get(); }
  // What inputs() and outputs() leave out.
  const SequencePlan& sequence_plan() const { return plan_; }
  // The store has let go of it: who waits in its queue waits for nobody else.
  void Leave() const;

  // Whose session it is.
  static const engine::Principal& Owner();

 private:
  absl::Status Complete(const engine::Opened& opened);
  absl::Status MakeItsQueue(const engine::Opened& opened, const MakeQueue& make_queue);
  absl::Status WarmUp(const CancelToken& cancel) const;
  absl::Status WarmUp(const inference::ModelWarmup& request, const CancelToken& cancel) const;
  absl::Status WarmUpByDefault(const CancelToken& cancel) const;
  absl::Status RunZeros(const std::vector<std::vector<int64_t>>& sizes,
                        const CancelToken& cancel) const;
  absl::Status RunOnce(const std::vector<std::vector<int64_t>>& dims,
                       const std::vector<std::string>& bytes, const CancelToken& cancel) const;

  engine::Engine& engine_;
  Source source_;
  const std::string version_text_;
  const RandomId handle_;
  std::vector<ServedTensor> inputs_, outputs_;
  mutable ModelStats stats_;
  mutable LatencyTable latency_;
  ModelQueue queue_;
  SequencePlan plan_;
  // At each symbol's least: what an input is warmed up with. By input.
  std::vector<std::vector<int64_t>> least_dims_;
};

}  // namespace rlx::server
