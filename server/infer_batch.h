// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "server/infer_inputs.h"
#include "server/infer_outputs.h"
#include "server/infer_queue.h"
#include "server/scheduling/batcher.h"
#include "server/scheduling/sequencer.h"

namespace rlx::server {

// One request in its model's queue.
struct InferJob final : SequencedRequest {
  InferJob(Frontend& frontend, QueuedInfer queued);

  // Fills in what the queue wants to know.
  absl::Status Read();
  // From now on it leaves the queue when its caller goes.
  void Watch(const std::shared_ptr<InferJob>& self);
  void End() override;
  // Puts it where it waits; maybe it has ended then.
  void Begin(const std::shared_ptr<InferJob>& self);

  Frontend& frontend;
  QueuedInfer infer;
  const double start;
  double read_seconds = 0;
  InferInputs inputs;
  WantedOutputs wanted;
  uint64_t latency_key = 0;
  std::optional<OutputBuffers> buffers;  // of the last try

 private:
  absl::Status ReadSequence(const QueueParameters& parameters);

  // Its share of what all queues may hold, until it goes.
  class Held {
   public:
    Held() = default;
    ~Held();
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    // ResourceExhausted when all of them together would hold too much. Once.
    absl::Status Take(Frontend& frontend, uint64_t bytes);

   private:
    Frontend* frontend_ = nullptr;
    uint64_t bytes_ = 0;
  };
  Held held_;
  const engine::Gate::Pass pass_;
  std::optional<std::stop_callback<std::function<void()>>> left_;  // last, so that it goes first
};

// Several requests as one run: their inputs one behind the other along the batch, its outputs cut
// again. Of one model and one shape; without a batch a single one. Of sequences: with what their
// callers do not see.
class JoinedRun {
 public:
  JoinedRun(Frontend& frontend, std::span<InferJob* const> jobs);

  // When it succeeds each request has its own status; otherwise nobody has anything.
  absl::Status Run(const CancelToken& cancel);

 private:
  // One output of all of them.
  struct Whole {
    std::string_view name;
    TensorType type;
    size_t bytes = 0;
    std::unique_ptr<uint8_t[]> memory;
    std::vector<uint8_t*> parts;  // by request; null: it does not want it
  };
  void Gather();
  void GatherHidden();
  void Add(std::string_view name, DType dtype, std::vector<int64_t> dims, size_t bytes);
  uint8_t* Make(const engine::OutputSpec& spec);
  bool MakeParts();
  bool MakeParts(size_t job);
  void Split() const;
  void KeepStates() const;
  void Count(const engine::RunTiming& timing) const;

  Frontend& frontend_;
  const std::span<InferJob* const> jobs_;
  const ServedModel& model_;
  const bool batched_;
  int64_t rows_ = 0;
  std::vector<std::unique_ptr<uint8_t[]>> gathered_;
  std::vector<std::vector<int64_t>> dims_;
  std::vector<engine::NamedInput> inputs_;
  // Of the outputs, in the model's order; behind the callers' own those that are states.
  std::vector<std::string_view> names_;
  size_t own_names_ = 0;
  std::vector<Whole> wholes_;
  uint64_t whole_bytes_ = 0;
  double input_seconds_ = 0, output_seconds_ = 0;
};

}  // namespace rlx::server
