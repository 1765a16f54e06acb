// SPDX-License-Identifier: Apache-2.0
#include "server/infer.h"

#include <algorithm>

#include "runtime/base/clock.h"
#include "server/infer_inputs.h"
#include "server/infer_outputs.h"

namespace rlx::server {
namespace {

using inference::ModelInferRequest;
using inference::ModelInferResponse;

absl::Status Infer(Frontend& frontend, const ServedModel& model, const SharedMemory& shared,
                   const ModelInferRequest& request, const CancelToken& cancel,
                   ModelInferResponse& response) {
  const double start = MonotonicSeconds();
  const uint64_t most = frontend.limits.max_message_bytes;
  RLX_TRY(ReadParameters(request).status());
  InferInputs inputs;
  RLX_TRY(inputs.Read(model, request, shared, most));
  WantedOutputs wanted;
  RLX_TRY(wanted.Read(model, request, shared));
  const uint64_t key = inputs.LatencyKey(model, inputs.batch());
  RLX_TRY(CheckDeadline(frontend, model, key, cancel));
  const double read = MonotonicSeconds();
  OutputBuffers buffers(wanted, most, response);
  const auto memory = [&](const engine::OutputSpec& spec) { return buffers.Make(spec); };
  const auto timing =
      frontend.engine.Run(ServedModel::Owner(),
                          {model.handle(), inputs.all(), wanted.names(), nullptr}, memory, cancel);
  absl::Status status = buffers.why_not().ok() ? timing.status() : buffers.why_not();
  if (status.ok()) status = buffers.Deliver(shared);
  if (!status.ok()) {
    response.Clear();
    return status;
  }
  SignAnswer(model, request, response);
  model.latency().Ran(key, timing->compute_seconds);
  const double input = read - start;
  const double output =
      std::max(0.0, MonotonicSeconds() - read - timing->queue_seconds - timing->compute_seconds);
  ModelStats& stats = model.stats();
  stats.input.Add(input);
  stats.queue.Add(timing->queue_seconds);
  stats.infer.Add(timing->compute_seconds);
  stats.output.Add(output);
  stats.Executed(inputs.batch(), input, timing->compute_seconds, output);
  return absl::OkStatus();
}

}  // namespace

absl::Status InferOnWire(Frontend& frontend, const ServedModel& model, const SharedMemory& shared,
                         const ModelInferRequest& request, const CancelToken& cancel,
                         ModelInferResponse& response) {
  const double start = MonotonicSeconds();
  absl::Status status = Infer(frontend, model, shared, request, cancel, response);
  CountRequest(model, status.ok(), start);
  return status;
}

absl::Status CheckDeadline(Frontend& frontend, const ServedModel& model, uint64_t latency_key,
                           const CancelToken& cancel) {
  if (!frontend.admit_by_latency || !cancel.deadline()) return absl::OkStatus();
  const std::optional<double> fast = model.latency().Fast(latency_key);
  if (!fast) return absl::OkStatus();
  const std::chrono::duration<double> left = *cancel.deadline() - CancelToken::Clock::now();
  if (left.count() >= *fast || !model.latency().Refuses(latency_key)) return absl::OkStatus();
  frontend.metrics.AdmissionRejected("deadline");
  frontend.metrics.Cancelled("admission");
  return DeadlineExceeded("the deadline cannot be met: ", left.count(),
                          " s are left, and a fast run takes ", *fast);
}

void SignAnswer(const ServedModel& model, const ModelInferRequest& request,
                ModelInferResponse& response) {
  response.set_model_name(model.name());
  response.set_model_version(model.version_text());
  response.set_id(request.id());
}

void CountRequest(const ServedModel& model, bool ok, double start) {
  ModelStats& stats = model.stats();
  (ok ? stats.success : stats.fail).Add(MonotonicSeconds() - start);
  stats.last_ms.store(static_cast<uint64_t>(WallSeconds() * 1e3), std::memory_order_relaxed);
}

std::string_view SessionName(const ServedModel& model) {
  const auto& bytes = model.handle().bytes;
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace rlx::server
