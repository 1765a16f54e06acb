// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/sessions.h"

#include <limits>

#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/status.h"
#include "runtime/cache/blob_store.h"
#include "runtime/engine/options.h"
#include "runtime/engine/padded_run.h"
#include "runtime/engine/trace_files.h"
#include "runtime/ir/verify.h"

namespace rlx::engine {
namespace {

// Variants that wait to be made in the background: what does not fit is asked for again.
constexpr int kMaxQueuedVariants = 64;

absl::Status NoSession(const RandomId& handle) { return NotFound("no session ", handle); }

absl::Status CheckDevice(const OpenSpec& spec, const device::Target& target) {
  if (spec.device && *spec.device != target.kind) {
    return InvalidArgument("the executable is for ", Name(target.kind), ", not for ",
                           Name(*spec.device));
  }
  if (!spec.profile.empty() && spec.profile != target.profile &&
      Cat(Name(target.kind), ":", spec.profile) != target.profile) {
    return InvalidArgument("the executable is for ", target.profile, ", not for ",
                           std::string_view(spec.profile).substr(0, 64));
  }
  return absl::OkStatus();
}

// A module that can run once its weights, and the shapes of its inputs, are known.
absl::Status CheckRunnable(const Compiled& compiled) {
  if (compiled.runnable()) return absl::OkStatus();
  return FailedPrecondition("nothing to run: ", compiled.WhyNot());
}

// Why there is no program, of nodes as the session's opener knows them.
absl::Status InNames(const absl::Status& status, const SourceTable& names) {
  if (!absl::IsFailedPrecondition(status)) return status;
  return FailedPrecondition(names.Translate(Message(status)));
}

// At least the lease of Open from now; a longer one from KeepAlive stays.
void Renew(Session& session) {
  const double expires = MonotonicSeconds() + session.lease_seconds;
  if (session.expires_at.load(std::memory_order_relaxed) < expires) {
    session.expires_at.store(expires, std::memory_order_relaxed);
  }
}

// The module's own weights for params that were given none.
void AddMissing(const std::vector<WeightSource>& own, std::vector<WeightSource>& weights) {
  std::set<std::string, std::less<>> given;
  for (const WeightSource& weight : weights) given.insert(weight.param);
  for (const WeightSource& weight : own)
    if (!given.contains(weight.param)) weights.push_back(weight);
}

}  // namespace

Sessions::Sessions(const EngineOptions& options, Compiler& compiler, Targets& targets,
                   cache::BlobStore& blobs, Loader& loader, EngineObserver& observer)
    : options_(options),
      compiler_(compiler),
      targets_(targets),
      blobs_(blobs),
      loader_(loader),
      observer_(observer),
      background_(1, kMaxQueuedVariants),
      awaited_(options.compile_threads, options.max_queued_compiles) {
  TraceRuns(options.trace_dir.empty() ? 0 : 1);
}

Sessions::~Sessions() {
  stop_.request_stop();
  for (const auto& [handle, session] : sessions_) {
    observer_.SessionEnded(session->device_kind, SessionEnd::kShutdown);
  }
}

absl::StatusOr<Compiled> Sessions::Obtain(const Principal& who, OpenSpec& spec,
                                          const CancelToken& cancel) {
  if (const auto* key = std::get_if<Digest256>(&spec.executable)) {
    return compiler_.Load(who, *key, cancel);
  }
  auto& compile = std::get<OpenSpec::Compile>(spec.executable);
  RLX_TRY(RefuseDump(compile.spec.options));
  RLX_ASSIGN(Compiled compiled,
             compiler_.Compile(who, std::move(compile.spec), compile.call, cancel));
  if (compiled.weights != nullptr) AddMissing(*compiled.weights, spec.weights);
  return compiled;
}

absl::Status Sessions::CheckRoomLocked(bool pinned) const {
  const size_t leased = sessions_.size() - pinned_;
  if (pinned || leased < options_.max_sessions) return absl::OkStatus();
  return TryLater(WithLimit(ResourceExhausted(leased, " sessions are open"), "max_sessions",
                            options_.max_sessions));
}

uint32_t Sessions::Granted(uint32_t lease_seconds) const {
  if (lease_seconds == 0) lease_seconds = options_.default_lease_seconds;
  return std::min(lease_seconds, options_.max_lease_seconds);
}

absl::StatusOr<Opened> Sessions::Open(const Principal& who, OpenSpec spec,
                                      const CancelToken& cancel) {
  {
    std::lock_guard lock(mutex_);
    RLX_TRY(CheckRoomLocked(spec.pinned));
  }
  auto session = std::make_shared<Session>();
  RLX_ASSIGN(session->compiled, Obtain(who, spec, cancel));
  const wire::Artifact& artifact = session->compiled.module->artifact;
  RLX_TRY(CheckDevice(spec, artifact.target));
  RLX_ASSIGN(session->device, targets_.Open(artifact.target.kind));
  RLX_TRY(session->device->Health());
  RLX_TRY(CheckRunnable(session->compiled));
  const auto read = [&](const Digest256& blob) { return blobs_.Read(who.name, blob); };
  RLX_ASSIGN(OrderedWeights weights, OrderWeights(artifact.lir.plan.params, spec.weights,
                                                  options_.max_inline_weight_bytes, read));
  bool shared = false;
  if (artifact.program != nullptr) {
    RLX_ASSIGN(Loader::Loaded loaded, loader_.Load(session->compiled.module, *session->device,
                                                   weights, spec.max_contexts, cancel));
    session->fixed = std::move(loaded.runnable);
    session->weight_bytes = session->fixed->weight_bytes;
    shared = loaded.weights_shared;
  } else {
    for (const SharedBytes& bytes : weights.bytes) {
      session->weight_bytes += static_cast<int64_t>(bytes.size());
    }
    session->variants = std::make_shared<Variants>(
        Variants::Shared{compiler_,
                         loader_,
                         background_,
                         awaited_,
                         variant_counters_,
                         stop_.get_token(),
                         {static_cast<size_t>(std::max(1, options_.max_variants)),
                          options_.max_variant_bytes, spec.max_contexts}},
        session->compiled.module, session->device, std::move(weights));
  }
  session->handle = RandomId::New();
  session->principal = who.name;
  session->device_kind = artifact.target.kind;
  session->lease_seconds = Granted(spec.lease_seconds);
  session->pinned = spec.pinned;
  if (spec.pinned) session->expires_at = std::numeric_limits<double>::infinity();
  Renew(*session);
  {
    std::lock_guard lock(mutex_);
    RLX_TRY(CheckRoomLocked(spec.pinned));
    sessions_.emplace(session->handle, session);
    if (spec.pinned) ++pinned_;
  }
  observer_.SessionOpened(session->device_kind, shared);
  return Opened{session->handle, session->compiled, session->lease_seconds, shared,
                session->weight_bytes};
}

absl::StatusOr<Sessions::SessionPtr> Sessions::Find(const Principal& who, const RandomId& handle) {
  std::lock_guard lock(mutex_);
  const auto found = sessions_.find(handle);
  if (found == sessions_.end() || found->second->principal != who.name) return NoSession(handle);
  return found->second;
}

absl::StatusOr<RunTiming> Sessions::Run(const Principal& who, const RunSpec& spec,
                                        OutputMemory outputs, const CancelToken& cancel) {
  RLX_ASSIGN(const SessionPtr session, Find(who, spec.handle));
  const Gate::Pass pass(session->gate);
  if (!pass) return NoSession(spec.handle);
  running_.fetch_add(1, std::memory_order_relaxed);
  Renew(*session);
  RunStage stage = RunStage::kAdmission;
  const absl::StatusOr<RunTiming> timing = LeavesTrace()
                                               ? RunAndTrace(*session, spec, outputs, cancel, stage)
                                               : RunIn(*session, spec, outputs, cancel, stage);
  Renew(*session);
  session->runs.fetch_add(1, std::memory_order_relaxed);
  running_.fetch_sub(1, std::memory_order_relaxed);
  RunEvent event{session->device_kind, timing.status().code(), stage};
  if (timing.ok()) {
    event.queue_seconds = timing->queue_seconds;
    event.compute_seconds = timing->compute_seconds;
  }
  observer_.RunFinished(event);
  return timing;
}

bool Sessions::LeavesTrace() {
  const uint32_t every = traces();
  return every > 0 && trace_turn_.fetch_add(1, std::memory_order_relaxed) % every == 0;
}

absl::StatusOr<RunTiming> Sessions::RunAndTrace(Session& session, RunSpec spec,
                                                OutputMemory outputs, const CancelToken& cancel,
                                                RunStage& stage) {
  std::vector<TracedStep> steps;
  if (spec.trace == nullptr) spec.trace = &steps;
  RLX_ASSIGN(const RunTiming timing, RunIn(session, spec, outputs, cancel, stage));
  WriteRunTrace(options_.trace_dir, session.compiled.key(), timing, *spec.trace);
  return timing;
}

absl::StatusOr<RunTiming> Sessions::RunIn(Session& session, const RunSpec& spec,
                                          OutputMemory outputs, const CancelToken& cancel,
                                          RunStage& stage) {
  RLX_TRY(cancel.Check());
  const BufferPlan& plan = session.compiled.module->artifact.lir.plan;
  // Kept from run to run: a warm one allocates nothing.
  thread_local std::vector<size_t> input_order, output_order;
  thread_local std::vector<std::span<const uint8_t>> inputs;
  RLX_TRY(OrderInputs(plan.inputs, spec.inputs, input_order));
  RLX_TRY(OrderOutputs(plan.outputs, spec.outputs, output_order));
  inputs.clear();
  for (size_t place : input_order) inputs.push_back(spec.inputs[place].bytes);
  if (session.fixed != nullptr) {
    for (size_t i = 0; i < input_order.size(); ++i) {
      RLX_TRY(CheckInput(spec.inputs[input_order[i]], plan.inputs[i].type));
    }
    return session.fixed->Run(inputs, output_order, outputs, cancel, spec.trace, stage);
  }
  return RunSymbolic(session, spec, input_order, inputs, output_order, outputs, cancel, stage);
}

// At whatever sizes the inputs have.
absl::StatusOr<RunTiming> Sessions::RunSymbolic(Session& session, const RunSpec& spec,
                                                const std::vector<size_t>& input_order,
                                                std::span<const std::span<const uint8_t>> inputs,
                                                const std::vector<size_t>& outputs,
                                                OutputMemory memory, const CancelToken& cancel,
                                                RunStage& stage) {
  const LirModule& general = session.compiled.module->artifact.lir;
  const double began = MonotonicSeconds();
  RLX_ASSIGN(const DimBinding sizes, InferBinding(general, spec.inputs, input_order));
  RLX_TRY(CheckSizes(general.graph, sizes));
  stage = RunStage::kQueue;
  const absl::StatusOr<VariantPtr> found = session.variants->For(sizes, cancel);
  if (!found.ok()) return InNames(found.status(), *session.compiled.names);
  const VariantPtr& variant = *found;
  const double waited = MonotonicSeconds() - began;
  Loader::Runnable& runnable = *variant->runnable;
  RLX_ASSIGN(RunTiming timing,
             variant->of.up_to ? RunPadded(runnable, general.plan, sizes, inputs, outputs, memory,
                                           cancel, spec.trace, stage)
                               : runnable.Run(inputs, outputs, memory, cancel, spec.trace, stage));
  timing.queue_seconds += waited;
  return timing;
}

absl::StatusOr<uint32_t> Sessions::KeepAlive(const Principal& who, const RandomId& handle,
                                             uint32_t lease_seconds) {
  RLX_ASSIGN(const SessionPtr session, Find(who, handle));
  const uint32_t granted = lease_seconds == 0 ? session->lease_seconds : Granted(lease_seconds);
  session->expires_at.store(MonotonicSeconds() + granted, std::memory_order_relaxed);
  return granted;
}

absl::Status Sessions::Close(const Principal& who, const RandomId& handle,
                             const CancelToken& cancel) {
  RLX_ASSIGN(const SessionPtr session, Find(who, handle));
  {
    std::lock_guard lock(mutex_);
    if (sessions_.erase(handle) == 0) return NoSession(handle);  // someone else just closed it
    if (session->pinned) --pinned_;
  }
  session->gate.Shut();
  observer_.SessionEnded(session->device_kind, SessionEnd::kClosed);
  return session->gate.WaitEmpty(cancel) == 0 ? absl::OkStatus() : cancel.Check();
}

std::vector<SessionInfo> Sessions::List(const Principal& who) {
  const double now = MonotonicSeconds();
  std::vector<SessionInfo> list;
  std::lock_guard lock(mutex_);
  for (const auto& [handle, session] : sessions_) {
    if (session->principal != who.name) continue;
    list.push_back({handle, session->compiled.key(), session->compiled.module->artifact.target,
                    session->compiled.names->module_name,
                    std::max(0.0, session->expires_at.load() - now), session->runs.load(),
                    session->weight_bytes});
  }
  return list;
}

double Sessions::Reap(double now) {
  std::vector<SessionPtr> ended;  // freed after the lock
  double next = std::numeric_limits<double>::infinity();
  std::lock_guard lock(mutex_);
  for (auto it = sessions_.begin(); it != sessions_.end();) {
    Session& session = *it->second;
    const double expires = session.expires_at.load(std::memory_order_relaxed);
    if (expires > now || session.gate.inside() > 0) {  // a run renews when it ends
      next = std::min(next, std::max(expires, now + 0.1));
      ++it;
      continue;
    }
    session.gate.Shut();
    // Whoever finds the session gone finds its end counted.
    observer_.SessionEnded(session.device_kind, SessionEnd::kLeaseExpired);
    ended.push_back(std::move(it->second));
    it = sessions_.erase(it);
  }
  return next;
}

int64_t Sessions::size() const {
  std::lock_guard lock(mutex_);
  return static_cast<int64_t>(sessions_.size() - pinned_);
}

int64_t Sessions::pinned() const {
  std::lock_guard lock(mutex_);
  return static_cast<int64_t>(pinned_);
}

}  // namespace rlx::engine
