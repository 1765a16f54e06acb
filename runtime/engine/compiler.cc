// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/compiler.h"

#include "runtime/base/clock.h"
#include "runtime/base/file.h"
#include "runtime/base/status.h"
#include "runtime/engine/assert_clean.h"
#include "runtime/engine/observer.h"
#include "runtime/engine/options.h"
#include "runtime/engine/trace_files.h"

namespace rlx::engine {
namespace {

constexpr size_t kMeaningBytes = size_t{64} << 20;

// Requests that want different things of the caches do not share a compile.
Digest256 FlightKey(const Digest256& key, const CompileCall& call, bool look_up) {
  if (look_up && !call.do_not_cache) return key;
  return FieldHasher().Add(key).AddInt(look_up).AddInt(call.do_not_cache).Finish();
}

Digest256 MeaningKey(std::string_view kind, const std::string& principal, const Digest256& digest) {
  return FieldHasher().Add(kind).Add(principal).Add(digest).Finish();
}

// What the author calls things, and the options with every field decided.
Meaning MeaningOf(const Job& job, CompileSpec& spec) {
  CompileOptions options = AsCompileOptions(job.options);
  options.dump = job.request.dump;
  return {job.key.key, job.device, job.canonical.names,
          std::make_shared<const CompileOptions>(std::move(options)),
          spec.weights.empty()
              ? nullptr
              : std::make_shared<const std::vector<WeightSource>>(std::move(spec.weights))};
}

absl::Status CheckAnswer(const Compiled& answer, const CompileCall& call) {
  if (answer.module->artifact.fusion.clean()) return absl::OkStatus();
  return CheckClean(*answer.options, answer.Fusion(), call.misses);
}

}  // namespace

struct Compiler::Request {
  DeviceKind device = DeviceKind::kCpu;
  double began = MonotonicSeconds();
  CompilePhase phase = CompilePhase::kCacheCheck;  // where it is
  // What it compiled, whether or not the caller then refuses it for its fusion.
  std::optional<std::pair<ModulePtr, PhaseSeconds>> made;

  // The answer but for the names of phases past the cache check.
  Compiled Answer(const Meaning& meaning, ModulePtr module, CacheResult cache,
                  const RandomId& operation) const {
    Compiled out;
    out.module = std::move(module);
    out.names = meaning.names;
    out.options = meaning.options;
    out.weights = meaning.weights;
    out.cache = cache;
    out.operation = operation;
    out.seconds = MonotonicSeconds() - began;
    return out;
  }
};

Compiler::Compiler(const EngineOptions& options, const Targets& targets, ArtifactCache& artifacts,
                   EngineObserver& observer)
    : options_(options),
      targets_(targets),
      artifacts_(artifacts),
      observer_(observer),
      meanings_(kMeaningBytes),
      pool_(options.compile_threads, options.max_queued_compiles),
      flights_([this](std::function<void()> work) { return pool_.Submit(std::move(work)); }),
      operations_(options.reattach_seconds) {}

// Compiles that nobody waits for any more but that could have been attached to stop here; the pool
// then waits for its threads.
Compiler::~Compiler() { operations_.Clear(); }

absl::StatusOr<Compiled> Compiler::Compile(const Principal& who, CompileSpec spec,
                                           const CompileCall& call, const CancelToken& cancel) {
  Request request{.device = spec.device};
  absl::StatusOr<Compiled> answer = TryCompile(who, spec, call, cancel, request);
  Report(request, answer);
  return answer;
}

absl::StatusOr<Compiled> Compiler::TryCompile(const Principal& who, CompileSpec& spec,
                                              const CompileCall& call, const CancelToken& cancel,
                                              Request& request) {
  RLX_TRY(cancel.Check());
  RLX_ASSIGN(Job job, Understand(spec, options_, targets_));
  RLX_TRY(CheckDump(job.request, spec.module.stage));
  Meaning meaning = MeaningOf(job, spec);
  const RandomId operation = RandomId::New();
  if (call.progress) call.progress({operation, CompilePhase::kCacheCheck, "", 0});
  if (!call.skip_cache_lookup && meaning.options->dump.empty()) {
    RLX_ASSIGN(ArtifactCache::Found found, artifacts_.Find(meaning.key, cancel));
    if (found.module != nullptr) {
      Remember(who.name, spec.request, meaning);
      Compiled answer = request.Answer(meaning, std::move(found.module), found.cache, operation);
      answer.phases = {{CompilePhase::kCacheCheck, answer.seconds}};
      RLX_TRY(CheckAnswer(answer, call));
      return answer;
    }
  }
  return Await(Start(who, spec, std::move(job), std::move(meaning), call, operation), call, cancel,
               request);
}

std::shared_ptr<Operation> Compiler::Start(const Principal& who, CompileSpec& spec, Job job,
                                           Meaning meaning, const CompileCall& call,
                                           const RandomId& operation) {
  const bool look_up = !call.skip_cache_lookup && meaning.options->dump.empty();
  auto shared_job = std::make_shared<const Job>(std::move(job));
  auto ticket = flights_.Join(
      FlightKey(meaning.key, call, look_up), [this, shared_job, look_up, keep = !call.do_not_cache](
                                                 const CancelToken& cancel, ProgressHub& progress) {
        absl::StatusOr<FlightResult> result = RunCompile(
            *shared_job, {artifacts_, pool_, options_.limits, look_up, keep}, cancel, progress);
        pool_.Leave();
        return result;
      });
  std::shared_ptr<const CompileSpec> kept_spec;
  const std::optional<Digest256> request = spec.request;
  if (!meaning.options->dump.empty() || !options_.ir_dump_dir.empty()) {
    kept_spec = std::make_shared<const CompileSpec>(std::move(spec));
  }
  return std::make_shared<Operation>(Operation{.id = operation,
                                               .principal = who.name,
                                               .meaning = std::move(meaning),
                                               .spec = std::move(kept_spec),
                                               .request = request,
                                               .ticket = std::move(ticket)});
}

absl::StatusOr<Compiled> Compiler::Await(std::shared_ptr<Operation> operation,
                                         const CompileCall& call, const CancelToken& cancel,
                                         Request& request) {
  Operations::Caller caller(operations_, operation);
  ProgressHub& hub = operation->ticket.context();
  const double checked = MonotonicSeconds() - request.began;
  std::optional<ProgressHub::Subscription> subscription;
  if (call.progress) {
    subscription.emplace(hub, [&](const ProgressHub::Event& event) {
      call.progress({operation->id, event.phase, event.detail, event.seconds});
    });
  }
  absl::StatusOr<FlightResult> result = operation->ticket.Wait(cancel);
  subscription.reset();
  request.phase = hub.phase();
  // A waiter whose own time is up has not seen the outcome; a compile never ends with its token.
  const bool seen = result.ok() || cancel.Check().ok();
  caller.Finish(seen, result.status());
  if (!result.ok()) return result.status();
  const bool first = result->cache == CacheResult::kCompiled && !result->claimed->exchange(true);
  const CacheResult cache = first                                     ? CacheResult::kCompiled
                            : result->cache == CacheResult::kCompiled ? CacheResult::kFollower
                                                                      : result->cache;
  Remember(operation->principal, operation->request, operation->meaning);
  Compiled answer = request.Answer(operation->meaning, result->module, cache, operation->id);
  answer.phases = hub.Phases();
  answer.phases.insert(answer.phases.begin(), {CompilePhase::kCacheCheck, checked});
  if (first) request.made.emplace(answer.module, answer.phases);
  RLX_TRY(CheckAnswer(answer, call));
  if (operation->spec != nullptr) RLX_TRY(AddDumps(*operation->spec, cancel, answer));
  if (first && !options_.ir_dump_dir.empty()) WriteIr(*operation->spec, answer.key(), cancel);
  if (first && !options_.trace_dir.empty()) WriteCompileTrace(options_.trace_dir, answer);
  return answer;
}

absl::StatusOr<Compiled> Compiler::Wait(const Principal& who, const RandomId& id,
                                        const CompileCall& call, const CancelToken& cancel) {
  std::shared_ptr<Operation> operation = operations_.Find(who.name, id);
  if (operation == nullptr) return NotFound("no operation ", id);
  Request request{.device = operation->meaning.device};
  absl::StatusOr<Compiled> answer = Await(std::move(operation), call, cancel, request);
  Report(request, answer);
  return answer;
}

std::optional<Compiled> Compiler::Recall(const Principal& who, const Digest256& digest) {
  const auto meaning = meanings_.Get(MeaningKey("request", who.name, digest));
  if (!meaning) return std::nullopt;
  Request request{.device = meaning->device};
  ModulePtr module = artifacts_.Recall(meaning->key);
  if (module == nullptr) return std::nullopt;
  absl::StatusOr<Compiled> answer =
      request.Answer(*meaning, std::move(module), CacheResult::kMemory, RandomId::New());
  answer->phases = {{CompilePhase::kCacheCheck, answer->seconds}};
  if (!CheckAnswer(*answer, {}).ok()) return std::nullopt;
  Report(request, answer);
  return *std::move(answer);
}

absl::StatusOr<Compiled> Compiler::Load(const Principal& who, const Digest256& key,
                                        const CancelToken& cancel) {
  Request request;
  RLX_ASSIGN(ArtifactCache::Found found, artifacts_.Find(key, cancel));
  if (found.module == nullptr) return NotFound("no executable ", key);
  auto meaning = meanings_.Get(MeaningKey("key", who.name, key));
  if (!meaning) {
    const wire::Artifact& artifact = found.module->artifact;
    meaning = Meaning{key, artifact.target.kind, std::make_shared<const SourceTable>(),
                      std::make_shared<const CompileOptions>(artifact.options)};
  }
  meaning->weights = nullptr;  // modules with other weights have the same key
  return request.Answer(*meaning, std::move(found.module), found.cache, RandomId::New());
}

absl::StatusOr<ModulePtr> Compiler::Specialise(const ModulePtr& module, const Specialisation& at,
                                               const CancelToken& cancel) {
  const Digest256 key = SpecialisedKey(module->key, at);
  RLX_ASSIGN(ArtifactCache::Found found, artifacts_.Find(key, cancel));
  if (found.module != nullptr) return found.module;
  RLX_ASSIGN(const Targets::Choice choice, targets_.ByFingerprint(module->artifact.target));
  auto ticket = flights_.Join(
      key, [this, module, key, at, choice](const CancelToken& stop, ProgressHub& progress) {
        absl::StatusOr<FlightResult> result = RunSpecialise(
            *module, key, at, choice, {artifacts_, pool_, options_.limits}, stop, progress);
        pool_.Leave();
        return result;
      });
  RLX_ASSIGN(const FlightResult result, ticket.Wait(cancel));
  return result.module;
}

absl::StatusOr<Lowered> Compiler::Lower(const CompileSpec& spec, Stage stage,
                                        const CancelToken& cancel, FusionReport* misses) {
  RLX_TRY(cancel.Check());
  if (stage < spec.module.stage) return InvalidArgument("the module is past that stage already");
  RLX_ASSIGN(const Targets::Choice choice, targets_.Choose(spec.device, spec.profile));
  RLX_TRY(Verify(spec.module, options_.limits));
  return RunLower(spec, Inherit(spec.options, spec.device, options_), choice, options_.limits,
                  stage, cancel, misses);
}

absl::Status Compiler::AddDumps(const CompileSpec& spec, const CancelToken& cancel,
                                Compiled& answer) {
  for (Stage stage : answer.options->dump) {
    RLX_ASSIGN(Lowered lowered, Lower(spec, stage, cancel, nullptr));
    answer.dumps.emplace_back(stage, std::move(lowered.text));
  }
  return absl::OkStatus();
}

void Compiler::WriteIr(const CompileSpec& spec, const Digest256& key, const CancelToken& cancel) {
  std::string text;
  for (Stage stage : {Stage::kHir, Stage::kMir, Stage::kLir}) {
    if (stage < spec.module.stage) continue;
    const absl::StatusOr<Lowered> lowered = Lower(spec, stage, cancel, nullptr);
    if (lowered.ok()) text += lowered->text;
  }
  // One that cannot be written costs nobody a compile.
  WriteFileAtomic(Cat(options_.ir_dump_dir, "/", key, ".ir.txt"), {text}).IgnoreError();
}

void Compiler::Remember(const std::string& principal, const std::optional<Digest256>& request,
                        const Meaning& meaning) {
  if (request && meaning.options->dump.empty()) {
    meanings_.Put(MeaningKey("request", principal, *request), meaning);
  }
  meanings_.Put(MeaningKey("key", principal, meaning.key), meaning);
}

void Compiler::Report(const Request& request, const absl::StatusOr<Compiled>& answer) {
  CompileEvent event{.device = request.device, .status = answer.status(), .phase = request.phase};
  event.seconds = MonotonicSeconds() - request.began;
  if (answer.ok()) {
    event.cache = answer->cache;
    event.phase = CompilePhase::kDone;
  }
  if (request.made) {
    const auto& [module, phases] = *request.made;
    event.phases = &phases;
    event.fusion = &module->artifact.fusion;
    event.dispatch = &module->artifact.dispatch;
  }
  observer_.CompileFinished(event);
}

}  // namespace rlx::engine
