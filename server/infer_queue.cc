// SPDX-License-Identifier: Apache-2.0
#include "server/infer_queue.h"

#include <algorithm>

#include "runtime/base/checked.h"
#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "server/call.h"
#include "server/infer.h"
#include "server/infer_batch.h"
#include "server/region_parameters.h"

namespace rlx::server {
namespace {

constexpr size_t kMaxSequenceId = 128;

void Enqueue(const std::shared_ptr<InferJob>& job) {
  job->status = job->Read();
  if (!job->status.ok()) return job->End();
  job->Begin(job);
  job->Watch(job);
}

// What lies in shared memory is copied, and that takes its time. Where the order counts it is done
// here all the same.
bool MayTakeLong(const InferJob& job) {
  const ServedModel& model = *job.infer.model;
  if (model.queue()->options().in_order || model.sequencer() != nullptr) return false;
  return std::ranges::any_of(job.infer.request.inputs(),
                             [](const auto& input) { return NameRegion(input.parameters()); });
}

}  // namespace

void QueueInfer(Frontend& frontend, QueuedInfer infer) {
  const auto job = std::make_shared<InferJob>(frontend, std::move(infer));
  if (!MayTakeLong(*job)) return Enqueue(job);
  if (frontend.executor.Submit([job] { Enqueue(job); })) return;
  job->status = TooManyCalls(frontend);
  job->End();
}

void InferJob::Begin(const std::shared_ptr<InferJob>& self) {
  const ServedModel& model = *infer.model;
  if (model.sequencer() == nullptr) return model.queue()->Push(self);
  const absl::Status pushed = model.sequencer()->Push(self);
  if (pushed.ok()) return;
  status = pushed;
  End();
}

absl::Status InferJob::ReadSequence(const QueueParameters& parameters) {
  const ServedModel& model = *infer.model;
  if (parameters.sequence_id.empty()) {
    return InvalidArgument("inference request to model '", model.name(),
                           "' must specify a non-zero or non-empty correlation ID");
  }
  if (parameters.sequence_id.size() > kMaxSequenceId) {
    return InvalidArgument("the correlation ID of a request to model '", model.name(),
                           "' is longer than ", kMaxSequenceId, " bytes");
  }
  if (inputs.batch() != 1) {
    return InvalidArgument("inference request to model '", model.name(),
                           "' must specify batch-size 1 due to requirements of sequence batcher");
  }
  sequence_id = parameters.sequence_id;
  starts = parameters.sequence_start;
  ends = parameters.sequence_end;
  for (const SequencePlan::Control& control : model.sequence_plan().controls) {
    if (control.kind != inference::ModelSequenceBatching::Control::CONTROL_SEQUENCE_CORRID)
      continue;
    const auto number = ParseInt(sequence_id);
    const bool fits = number && (control.dtype == DType::kI64 ||
                                 (control.dtype == DType::kI32 && CheckedCast<int32_t>(*number)) ||
                                 (control.dtype == DType::kU32 && CheckedCast<uint32_t>(*number)));
    if (!fits) {
      return InvalidArgument("model '", model.name(), "' takes correlation IDs of ", control.dtype);
    }
  }
  return absl::OkStatus();
}

InferJob::InferJob(Frontend& frontend, QueuedInfer queued)
    : frontend(frontend),
      infer(std::move(queued)),
      start(MonotonicSeconds()),
      pass_(frontend.queues.admitted()) {}

absl::Status InferJob::Read() {
  if (!pass_) return Unavailable("the server is draining");
  RLX_TRY(CheckWaited(frontend, infer.cancel));
  const ServedModel& model = *infer.model;
  RLX_ASSIGN(const QueueParameters parameters, ReadParameters(infer.request));
  RLX_TRY(inputs.Read(model, infer.request, infer.shared, frontend.limits.max_message_bytes));
  RLX_TRY(wanted.Read(model, infer.request, infer.shared));
  RLX_TRY(held_.Take(frontend, inputs.bytes()));
  latency_key = inputs.LatencyKey(model, inputs.batch());
  RLX_TRY(CheckDeadline(frontend, model, latency_key, infer.cancel));
  const QueueOptions& options = model.queue()->options();
  level = options.LevelOf(parameters.priority);
  if (parameters.timeout_micros > 0) {
    timeout = static_cast<double>(parameters.timeout_micros) * 1e-6;
  }
  if (const auto at = infer.cancel.deadline()) {
    const std::chrono::duration<double> left = *at - CancelToken::Clock::now();
    deadline = MonotonicSeconds() + left.count();
  }
  run_seconds = model.latency().Fast(latency_key).value_or(0);
  if (model.sequencer() != nullptr) RLX_TRY(ReadSequence(parameters));
  if (model.queue()->options().max_rows > 1) {
    rows = inputs.batch();
    for (const ServedTensor& declared : model.inputs()) {
      const auto dims = inputs.Get(declared.name).dims.subspan(1);
      shape.insert(shape.end(), dims.begin(), dims.end());
    }
  }
  read_seconds = MonotonicSeconds() - start;
  return absl::OkStatus();
}

void InferJob::Watch(const std::shared_ptr<InferJob>& self) {
  Batcher& queue = *infer.model->queue();
  left_.emplace(infer.cancel.stop(), [weak = std::weak_ptr(self), &queue] {
    const auto job = weak.lock();
    if (job == nullptr) return;
    Sequencer* const sequencer = job->infer.model->sequencer();
    if (sequencer == nullptr || !sequencer->Forget(*job)) queue.Forget(*job);
  });
}

InferJob::Held::~Held() {
  if (frontend_ != nullptr) frontend_->queued_bytes.fetch_sub(bytes_, std::memory_order_relaxed);
}

absl::Status InferJob::Held::Take(Frontend& frontend, uint64_t bytes) {
  frontend_ = &frontend;
  bytes_ = bytes;
  const uint64_t others = frontend.queued_bytes.fetch_add(bytes, std::memory_order_relaxed);
  const uint64_t most = frontend.limits.max_queued_bytes;
  if (others == 0 || (others <= most && bytes <= most - others)) return absl::OkStatus();
  frontend.metrics.AdmissionRejected("queue_full");
  return TryLater(WithLimit(ResourceExhausted("the requests in the queues of models hold ", others,
                                              " bytes of inputs, and this one's ", bytes,
                                              " exceed max_queued_bytes ", most),
                            "max_queued_bytes", most));
}

void InferJob::End() {
  if (!status.ok()) infer.response.Clear();
  const bool ok = status.ok();
  CountRequest(*infer.model, ok, start);
  const auto done = std::exchange(infer.done, nullptr);
  done(std::move(status));
  if (sequence != nullptr) infer.model->sequencer()->Ended(*this, ok);
}

}  // namespace rlx::server
