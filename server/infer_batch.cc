// SPDX-License-Identifier: Apache-2.0
#include "server/infer_batch.h"

#include <algorithm>
#include <cstring>

#include "runtime/base/clock.h"
#include "server/infer.h"

namespace rlx::server {
namespace {

void CountPhases(const InferJob& job, double queue, double input, double infer, double output) {
  ModelStats& stats = job.infer.model->stats();
  stats.queue.Add(job.begun - job.arrival + queue);
  stats.input.Add(job.read_seconds + input);
  stats.infer.Add(infer);
  stats.output.Add(output);
}

absl::Status RunAlone(Frontend& frontend, InferJob& job) {
  const double began = MonotonicSeconds();
  const ServedModel& model = *job.infer.model;
  job.infer.response.Clear();
  job.buffers.emplace(job.wanted, frontend.limits.max_message_bytes, job.infer.response);
  const auto memory = [&](const engine::OutputSpec& spec) { return job.buffers->Make(spec); };
  const auto timing = frontend.engine.Run(
      ServedModel::Owner(), {model.handle(), job.inputs.all(), job.wanted.names(), nullptr}, memory,
      job.infer.cancel);
  RLX_TRY(job.buffers->why_not());
  RLX_TRY(timing.status());
  RLX_TRY(job.buffers->Deliver(job.infer.shared));
  SignAnswer(model, job.infer.request, job.infer.response);
  model.latency().Ran(job.latency_key, timing->compute_seconds);
  const double output =
      std::max(0.0, MonotonicSeconds() - began - timing->queue_seconds - timing->compute_seconds);
  CountPhases(job, timing->queue_seconds, 0, timing->compute_seconds, output);
  model.stats().Executed(job.inputs.batch(), job.read_seconds, timing->compute_seconds, output);
  return absl::OkStatus();
}

// Until the last of the deadlines, and as long as anybody is there.
CancelToken TokenOf(std::span<InferJob* const> jobs, std::stop_token stop) {
  CancelToken::Clock::time_point last{};
  for (const InferJob* job : jobs) {
    const auto deadline = job->infer.cancel.deadline();
    if (!deadline) return CancelToken(std::move(stop));
    last = std::max(last, *deadline);
  }
  return CancelToken(std::move(stop), last);
}

// May be one request's fault.
bool IsOnesFault(const absl::Status& status) {
  return !absl::IsCancelled(status) && !absl::IsDeadlineExceeded(status) &&
         !absl::IsUnavailable(status);
}

}  // namespace

void RunQueued(Frontend& frontend, Batch& batch) {
  std::vector<InferJob*> jobs;
  for (const WaitingPtr& request : batch.requests) {
    auto& job = static_cast<InferJob&>(*request);  // the queue of a model holds nothing else
    job.status = job.infer.cancel.Check();
    if (job.status.ok()) {
      jobs.push_back(&job);
    } else if (absl::IsDeadlineExceeded(job.status)) {
      frontend.metrics.Expired();
    } else {
      frontend.metrics.Cancelled(engine::Name(engine::RunStage::kQueue));
    }
  }
  if (jobs.size() > 1) {
    const absl::Status ran = JoinedRun(frontend, jobs).Run(TokenOf(jobs, batch.stop.get_token()));
    if (ran.ok()) return;
    if (!IsOnesFault(ran)) {
      for (InferJob* job : jobs) job->status = ran;
      return;
    }
  }
  for (InferJob* job : jobs) job->status = RunAlone(frontend, *job);
}

JoinedRun::JoinedRun(Frontend& frontend, std::span<InferJob* const> jobs)
    : frontend_(frontend), jobs_(jobs), model_(*jobs.front()->infer.model) {
  for (const InferJob* job : jobs_) rows_ += job->rows;
  for (const ServedTensor& output : model_.outputs()) {
    const auto wants = [&](const InferJob* job) { return job->wanted.Has(output.name); };
    if (std::ranges::any_of(jobs_, wants)) names_.push_back(output.name);
  }
  wholes_.reserve(names_.size());
}

absl::Status JoinedRun::Run(const CancelToken& cancel) {
  const double began = MonotonicSeconds();
  Gather();
  const double gathered = MonotonicSeconds();
  input_seconds_ = gathered - began;
  const auto memory = [this](const engine::OutputSpec& spec) { return Make(spec); };
  const auto timing = frontend_.engine.Run(
      ServedModel::Owner(), {model_.handle(), inputs_, names_, nullptr}, memory, cancel);
  const auto failed = [](const InferJob* job) { return !job->status.ok(); };
  if (std::ranges::all_of(jobs_, failed)) return absl::OkStatus();  // none has room for its answer
  RLX_TRY(timing.status());
  Split();
  for (InferJob* job : jobs_) {
    if (job->status.ok()) job->status = job->buffers->Deliver(job->infer.shared);
    if (job->status.ok()) SignAnswer(model_, job->infer.request, job->infer.response);
  }
  output_seconds_ = std::max(
      0.0, MonotonicSeconds() - gathered - timing->queue_seconds - timing->compute_seconds);
  Count(*timing);
  return absl::OkStatus();
}

void JoinedRun::Gather() {
  for (const ServedTensor& declared : model_.inputs()) {
    size_t bytes = 0;
    for (const InferJob* job : jobs_) bytes += job->inputs.Get(declared.name).bytes.size();
    uint8_t* at = gathered_.emplace_back(std::make_unique_for_overwrite<uint8_t[]>(bytes)).get();
    for (const InferJob* job : jobs_) {
      const std::span<const uint8_t> part = job->inputs.Get(declared.name).bytes;
      if (!part.empty()) std::memcpy(at, part.data(), part.size());
      at += part.size();
    }
    const auto first = jobs_.front()->inputs.Get(declared.name).dims;
    dims_.emplace_back(first.begin(), first.end()).front() = rows_;
    inputs_.push_back({.name = declared.name,
                       .dtype = declared.dtype,
                       .dims = {},
                       .bytes = {gathered_.back().get(), bytes}});
  }
  for (size_t i = 0; i < inputs_.size(); ++i) inputs_[i].dims = dims_[i];
}

// The requests' own memory is made before anything runs, when all outputs are known. What is more
// than all answers together may be is some request's fault.
uint8_t* JoinedRun::Make(const engine::OutputSpec& spec) {
  whole_bytes_ += spec.bytes;
  if (whole_bytes_ > frontend_.limits.max_message_bytes * jobs_.size()) return nullptr;
  Whole& whole = wholes_.emplace_back();
  whole.name = spec.name;
  whole.type = spec.type;
  whole.bytes = spec.bytes;
  whole.memory = std::make_unique_for_overwrite<uint8_t[]>(spec.bytes);
  whole.parts.resize(jobs_.size());
  if (wholes_.size() == names_.size() && !MakeParts()) return nullptr;
  return whole.memory.get();
}

bool JoinedRun::MakeParts() {
  size_t made = 0;
  for (size_t i = 0; i < jobs_.size(); ++i) made += MakeParts(i);
  return made > 0;
}

// In the order in which the request asks for them.
bool JoinedRun::MakeParts(size_t job) {
  InferJob& to = *jobs_[job];
  to.infer.response.Clear();
  to.buffers.emplace(to.wanted, frontend_.limits.max_message_bytes, to.infer.response);
  const std::vector<std::string_view>& names =
      to.wanted.names().empty() ? names_ : to.wanted.names();
  for (size_t position = 0; position < names.size(); ++position) {
    Whole& whole = *std::ranges::find(wholes_, names[position], &Whole::name);
    TensorType own = whole.type;
    own.shape.front() = Dim(to.rows);
    const size_t row_bytes = whole.bytes / static_cast<size_t>(rows_);
    const engine::OutputSpec spec{position, whole.name, own,
                                  row_bytes * static_cast<size_t>(to.rows)};
    whole.parts[job] = to.buffers->Make(spec);
    to.status = to.buffers->why_not();
    if (!to.status.ok()) return false;
  }
  return true;
}

void JoinedRun::Split() const {
  for (const Whole& whole : wholes_) {
    const size_t row_bytes = whole.bytes / static_cast<size_t>(rows_);
    const uint8_t* from = whole.memory.get();
    for (size_t i = 0; i < jobs_.size(); ++i) {
      const size_t bytes = row_bytes * static_cast<size_t>(jobs_[i]->rows);
      const bool wanted = whole.parts[i] != nullptr && jobs_[i]->status.ok();
      if (wanted && bytes > 0) std::memcpy(whole.parts[i], from, bytes);
      from += bytes;
    }
  }
}

void JoinedRun::Count(const engine::RunTiming& timing) const {
  for (InferJob* job : jobs_) {
    if (!job->status.ok()) continue;
    CountPhases(*job, timing.queue_seconds, input_seconds_, timing.compute_seconds,
                output_seconds_);
  }
  model_.latency().Ran(jobs_.front()->inputs.LatencyKey(model_, rows_), timing.compute_seconds);
  model_.stats().Executed(rows_, input_seconds_, timing.compute_seconds, output_seconds_);
}

}  // namespace rlx::server
