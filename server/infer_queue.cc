// SPDX-License-Identifier: Apache-2.0
#include "server/infer_queue.h"

#include <algorithm>
#include <cstring>

#include "runtime/base/clock.h"
#include "server/infer.h"
#include "server/infer_batch.h"

namespace rlx::server {

void QueueInfer(Frontend& frontend, QueuedInfer infer, bool here) {
  const auto job = std::make_shared<InferJob>(frontend, std::move(infer));
  job->status = job->Read();
  if (!job->status.ok()) return job->End();
  job->infer.model->queue()->Push(job, here);
  job->Watch(job);
}

InferJob::InferJob(Frontend& frontend, QueuedInfer queued)
    : frontend(frontend),
      infer(std::move(queued)),
      start(MonotonicSeconds()),
      pass_(frontend.queues.admitted()) {}

absl::Status InferJob::Read() {
  if (!pass_) return Unavailable("the server is draining");
  RLX_TRY(infer.cancel.Check());
  const ServedModel& model = *infer.model;
  RLX_ASSIGN(const QueueParameters parameters, ReadParameters(infer.request));
  RLX_TRY(inputs.Read(model, infer.request, infer.shared, frontend.limits.max_message_bytes));
  RLX_TRY(wanted.Read(model, infer.request, infer.shared));
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
  if (model.config().has_dynamic_batching()) {
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
    if (const auto job = weak.lock()) queue.Forget(*job);
  });
}

void InferJob::End() {
  if (!status.ok()) infer.response.Clear();
  CountRequest(*infer.model, status.ok(), start);
  const auto done = std::exchange(infer.done, nullptr);
  done(std::move(status));
}

}  // namespace rlx::server
