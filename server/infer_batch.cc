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

void WriteControl(const SequencePlan::Control& control, const InferJob& job, uint8_t* at) {
  using Wire = inference::ModelSequenceBatching::Control;
  if (control.kind == Wire::CONTROL_SEQUENCE_CORRID) {  // little-endian, and known to fit
    const int64_t number = ParseInt(job.sequence_id).value_or(0);
    std::memcpy(at, &number, static_cast<size_t>(ByteWidth(control.dtype)));
    return;
  }
  const bool yes = control.kind == Wire::CONTROL_SEQUENCE_READY ||
                   (control.kind == Wire::CONTROL_SEQUENCE_START && job.starts) ||
                   (control.kind == Wire::CONTROL_SEQUENCE_END && job.ends);
  const std::string& bytes = yes ? control.yes : control.no;
  std::memcpy(at, bytes.data(), bytes.size());
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
  if (jobs.empty()) return;
  const bool sequences = jobs.front()->sequence != nullptr;
  if (jobs.size() > 1 || sequences) {
    const absl::Status ran = JoinedRun(frontend, jobs).Run(TokenOf(jobs, batch.stop.get_token()));
    if (ran.ok()) return;
    if (jobs.size() == 1 || !IsOnesFault(ran)) {
      for (InferJob* job : jobs) job->status = ran;
      return;
    }
  }
  for (InferJob*& job : jobs) {
    if (!sequences) {
      job->status = RunAlone(frontend, *job);
      continue;
    }
    job->status = absl::OkStatus();
    const absl::Status ran = JoinedRun(frontend, std::span(&job, 1)).Run(job->infer.cancel);
    if (!ran.ok()) job->status = ran;
  }
}

JoinedRun::JoinedRun(Frontend& frontend, std::span<InferJob* const> jobs)
    : frontend_(frontend),
      jobs_(jobs),
      model_(*jobs.front()->infer.model),
      batched_(model_.config().max_batch_size() > 0) {
  for (const InferJob* job : jobs_) rows_ += job->rows;
  for (const ServedTensor& output : model_.outputs()) {
    const auto wants = [&](const InferJob* job) { return job->wanted.Has(output.name); };
    if (std::ranges::any_of(jobs_, wants)) names_.push_back(output.name);
  }
  own_names_ = names_.size();
  for (const auto& state : model_.sequence_plan().states) names_.push_back(state.output);
  wholes_.reserve(names_.size());
}

absl::Status JoinedRun::Run(const CancelToken& cancel) {
  const double began = MonotonicSeconds();
  Gather();
  GatherHidden();
  for (size_t i = 0; i < inputs_.size(); ++i) inputs_[i].dims = dims_[i];
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
  KeepStates();
  output_seconds_ = std::max(
      0.0, MonotonicSeconds() - gathered - timing->queue_seconds - timing->compute_seconds);
  Count(*timing);
  return absl::OkStatus();
}

void JoinedRun::Gather() {
  for (const ServedTensor& declared : model_.inputs()) {
    size_t bytes = 0;
    for (const InferJob* job : jobs_) bytes += job->inputs.Get(declared.name).bytes.size();
    const auto first = jobs_.front()->inputs.Get(declared.name).dims;
    Add(declared.name, declared.dtype, {first.begin() + (batched_ ? 1 : 0), first.end()}, bytes);
    uint8_t* at = gathered_.back().get();
    for (const InferJob* job : jobs_) {
      const std::span<const uint8_t> part = job->inputs.Get(declared.name).bytes;
      if (!part.empty()) std::memcpy(at, part.data(), part.size());
      at += part.size();
    }
  }
}

// Memory for one input; `dims` without the batch.
void JoinedRun::Add(std::string_view name, DType dtype, std::vector<int64_t> dims, size_t bytes) {
  gathered_.push_back(std::make_unique_for_overwrite<uint8_t[]>(bytes));
  if (batched_) dims.insert(dims.begin(), rows_);
  dims_.push_back(std::move(dims));
  inputs_.push_back(
      {.name = name, .dtype = dtype, .dims = {}, .bytes = {gathered_.back().get(), bytes}});
}

void JoinedRun::GatherHidden() {
  const SequencePlan& plan = model_.sequence_plan();
  for (const SequencePlan::Control& control : plan.controls) {
    const auto width = static_cast<size_t>(ByteWidth(control.dtype));
    Add(control.input, control.dtype, control.dims, width * jobs_.size());
    uint8_t* at = gathered_.back().get();
    for (const InferJob* job : jobs_) {
      WriteControl(control, *job, at);
      at += width;
    }
  }
  for (size_t s = 0; s < plan.states.size(); ++s) {
    const SequencePlan::State& state = plan.states[s];
    Add(state.input, state.dtype, state.dims, state.bytes * jobs_.size());
    uint8_t* at = gathered_.back().get();
    for (const InferJob* job : jobs_) {
      const std::vector<std::string>& kept = job->sequence->states;
      if (kept.empty()) {
        std::memset(at, 0, state.bytes);
      } else {
        std::memcpy(at, kept[s].data(), state.bytes);
      }
      at += state.bytes;
    }
  }
}

// Those whose request has its answer: who asks again for one that failed finds its state as it was.
void JoinedRun::KeepStates() const {
  const SequencePlan& plan = model_.sequence_plan();
  for (size_t i = 0; i < jobs_.size() && !plan.states.empty(); ++i) {
    if (!jobs_[i]->status.ok()) continue;
    std::vector<std::string>& states = jobs_[i]->sequence->states;
    states.resize(plan.states.size());
    for (size_t s = 0; s < states.size(); ++s) {
      const size_t bytes = plan.states[s].bytes;
      const auto* from = wholes_[own_names_ + s].memory.get() + i * bytes;
      states[s].assign(reinterpret_cast<const char*>(from), bytes);
    }
  }
}

// The requests' own memory is made before anything runs, when all outputs are known. What is more
// than all answers together may be is some request's fault.
uint8_t* JoinedRun::Make(const engine::OutputSpec& spec) {
  if (wholes_.size() < own_names_) whole_bytes_ += spec.bytes;
  const bool several = jobs_.size() > 1;  // one by itself is told what it did
  if (several && whole_bytes_ > frontend_.limits.max_message_bytes * jobs_.size()) return nullptr;
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
  const std::span<const std::string_view> names =
      to.wanted.names().empty() ? std::span<const std::string_view>(names_).first(own_names_)
                                : std::span<const std::string_view>(to.wanted.names());
  for (size_t position = 0; position < names.size(); ++position) {
    Whole& whole = *std::ranges::find(wholes_, names[position], &Whole::name);
    TensorType own = whole.type;
    if (batched_) own.shape.front() = Dim(to.rows);
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
