// SPDX-License-Identifier: Apache-2.0
#include "server/models/keeper.h"

#include <google/protobuf/text_format.h>

#include "runtime/base/cancel.h"
#include "runtime/base/clock.h"
#include "runtime/base/status.h"
#include "server/models/config.h"
#include "server/models/load_override.h"

namespace rlx::server {
namespace {

// May go by itself, with the files as they are.
bool IsPassing(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsResourceExhausted(status);
}

// Changes when the files do, or what config.pbtxt says of them.
Digest256 FingerprintOf(const VersionFiles& files, std::string_view config) {
  return FieldHasher().Add(files.fingerprint).Add(config).Finish();
}

// What a folder asks for.
struct Wanted {
  inference::ModelConfig config;
  std::set<int64_t> versions;
  ModelStore::Labels labels;
  std::string fingerprint;  // of what each version is to be
};

// What a version is made by: which versions there are, and what they are called, does not count.
std::string Meaning(inference::ModelConfig config) {
  config.clear_version_policy();
  config.clear_version_labels();
  std::string text;
  google::protobuf::TextFormat::PrintToString(config, &text);
  return text;
}

absl::StatusOr<Wanted> Understand(const absl::StatusOr<ModelFolder>& folder,
                                  std::set<std::string>& ignored) {
  RLX_TRY(folder.status());
  Wanted out;
  RLX_ASSIGN(out.config, ParseModelConfig(folder->config, ignored));
  std::set<int64_t> there;
  for (const auto& [version, files] : folder->versions) there.insert(version);
  RLX_ASSIGN(out.versions, ServedVersions(out.config.version_policy(), there));
  if (out.versions.empty()) return FailedPrecondition("there is no version of it");
  for (const auto& [label, version] : out.config.version_labels()) {
    if (!out.versions.contains(version)) {
      return FailedPrecondition("version_labels: ", label, " is version ", version,
                                ", which is not among those that are served");
    }
    out.labels.emplace(label, version);
  }
  out.fingerprint = Meaning(out.config);
  return out;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ModelKeeper>> ModelKeeper::Start(KeeperOptions options,
                                                                engine::Engine& engine,
                                                                ModelStore& store, Logger& log,
                                                                Hooks hooks) {
  std::vector<std::string> names;
  if (!options.root.empty()) {
    auto listed = ListModels(options.root);
    if (!listed.ok()) return Annotate(listed.status(), "--model_repository");
    names = *std::move(listed);
  }
  if (options.mode == ControlMode::kExplicit && !options.load_at_start.contains("*")) {
    for (const std::string& name : options.load_at_start) {
      if (std::ranges::count(names, name) == 0) {
        return NotFound("--load_model: the repository has no model ", name);
      }
    }
    std::erase_if(names, [&](const auto& name) { return !options.load_at_start.contains(name); });
  }
  std::unique_ptr<ModelKeeper> keeper(
      new ModelKeeper(std::move(options), engine, store, log, std::move(hooks)));
  keeper->Begin(names);
  return keeper;
}

ModelKeeper::ModelKeeper(KeeperOptions options, engine::Engine& engine, ModelStore& store,
                         Logger& log, Hooks hooks)
    : options_(std::move(options)),
      engine_(engine),
      store_(store),
      log_(log),
      hooks_(std::move(hooks)) {}

ModelKeeper::~ModelKeeper() {
  Stop();
  for (std::thread& thread : threads_) thread.join();
}

void ModelKeeper::Stop() {
  stop_.request_stop();
  std::lock_guard lock(mutex_);
  changed_.notify_all();
}

void ModelKeeper::Begin(const std::vector<std::string>& names) {
  if (names.empty()) {
    ready_said_ = true;
    hooks_.ready();
  }
  std::lock_guard lock(mutex_);
  awaited_.insert(names.begin(), names.end());
  for (const std::string& name : names) {
    store_.SetProblem(name, "waits to be loaded");
    EnqueueLocked(name, Job::Kind::kUpdate);
  }
  if (options_.root.empty()) return;
  for (int i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { Work(); });
  if (options_.mode == ControlMode::kPoll) threads_.emplace_back([this] { Poll(); });
}

std::vector<std::string> ModelKeeper::List() const {
  if (options_.root.empty()) return {};
  return ListModels(options_.root).value_or(std::vector<std::string>{});
}

absl::Status ModelKeeper::CheckExplicit() const {
  if (options_.mode == ControlMode::kExplicit && !options_.root.empty()) return absl::OkStatus();
  return Unavailable(
      "explicit model load / unload is not allowed if polling is enabled: it takes "
      "--model_control_mode=explicit");
}

absl::Status ModelKeeper::Load(const std::string& name, std::shared_ptr<const LoadOverride> said,
                               const CancelToken& cancel) {
  RLX_TRY(CheckExplicit());
  const std::vector<std::string> there = List();  // the only names that become paths there
  if (!IsModelName(name)) return InvalidArgument("a model has no such name");
  const bool brought = said != nullptr && !said->files.empty();
  if (!brought && std::ranges::count(there, name) == 0) {
    return NotFound("failed to load '", name, "', no such model in the repository");
  }
  JobPtr job;
  {
    std::lock_guard lock(mutex_);
    job = EnqueueLocked(name, Job::Kind::kLoad);
    job->said = std::move(said);  // nobody begins it before the lock is free
  }
  return Annotate(Wait(job, cancel), "failed to load '", name, "'");
}

absl::Status ModelKeeper::Unload(const std::string& name, const CancelToken& cancel) {
  RLX_TRY(CheckExplicit());
  if (store_.Versions(name).empty()) {
    return NotFound("failed to unload '", name.substr(0, 128), "', no versions are known of it");
  }
  JobPtr job;
  {
    std::lock_guard lock(mutex_);
    job = EnqueueLocked(name, Job::Kind::kUnload);
  }
  return Wait(job, cancel);
}

ModelKeeper::JobPtr ModelKeeper::EnqueueLocked(const std::string& name, Job::Kind kind) {
  auto job = std::make_shared<Job>();
  job->kind = kind;
  Strand& strand = strands_[name];
  strand.jobs.push_back(job);
  if (strand.jobs.size() == 1) next_.push_back(name);
  changed_.notify_all();
  return job;
}

absl::Status ModelKeeper::Wait(const JobPtr& job, const CancelToken& cancel) {
  std::unique_lock lock(mutex_);
  const auto done = [&] { return job->done || stop_.stop_requested(); };
  if (cancel.deadline()) {
    changed_.wait_until(lock, cancel.stop(), *cancel.deadline(), done);
  } else {
    changed_.wait(lock, cancel.stop(), done);
  }
  if (job->done) return job->status;
  RLX_TRY(cancel.Check());
  return Unavailable("the server is draining");
}

void ModelKeeper::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stop_.stop_requested() || !next_.empty(); });
    if (stop_.stop_requested()) return;
    const std::string name = std::move(next_.front());
    next_.pop_front();
    const JobPtr job = strands_[name].jobs.front();
    lock.unlock();
    absl::Status status = Do(name, *job);
    Settled(name, status.ok());
    lock.lock();
    job->status = std::move(status);
    job->done = true;
    Strand& strand = strands_[name];
    strand.jobs.pop_front();
    if (strand.jobs.empty()) {
      strands_.erase(name);
    } else {
      next_.push_back(name);
    }
    changed_.notify_all();
  }
}

void ModelKeeper::Poll() {
  std::unique_lock lock(mutex_);
  const auto interval = std::chrono::duration<double>(options_.poll_seconds);
  for (;;) {
    changed_.wait_for(lock, stop_.get_token(), interval, [&] { return stop_.stop_requested(); });
    if (stop_.stop_requested()) return;
    lock.unlock();
    Look();
    lock.lock();
  }
}

// Every model that is there or was: what has not changed costs a look at its folder.
void ModelKeeper::Look() {
  const auto there = ListModels(options_.root);
  if (!there.ok()) {  // a mount that is gone for a while takes no model with it
    log_.Warning("cannot read the model repository", {{"why", Message(there.status())}});
    return;
  }
  std::set<std::string> names(there->begin(), there->end());
  for (const ModelStatus& status : store_.Index()) names.insert(status.name);
  std::lock_guard lock(mutex_);
  for (const std::string& name : names) {
    if (!strands_.contains(name)) EnqueueLocked(name, Job::Kind::kUpdate);
  }
}

absl::Status ModelKeeper::Do(const std::string& name, const Job& job) {
  if (job.kind == Job::Kind::kUnload) {
    store_.RemoveAll(name, "unloaded", false);
    log_.Info("model unloaded", {{"model", name}});
    return absl::OkStatus();
  }
  return Update(name, job.kind == Job::Kind::kLoad, job.said.get());
}

absl::Status ModelKeeper::Update(const std::string& name, bool again, const LoadOverride* said) {
  OverriddenFolder overridden(options_.scratch);  // its files stay until they are loaded
  const absl::StatusOr<ModelFolder> folder = said == nullptr
                                                 ? ReadModelFolder(options_.root, name)
                                                 : overridden.Read(options_.root, name, *said);
  if (absl::IsNotFound(folder.status())) {  // taken away
    store_.RemoveAll(name, "its folder is gone", true);
    std::lock_guard lock(mutex_);
    memories_.erase(name);
    return absl::OkStatus();
  }
  std::set<std::string> ignored;
  const auto wanted = Understand(folder, ignored);
  store_.SetProblem(name, std::string(Message(wanted.status())));
  RLX_TRY(wanted.status());
  for (const std::string& field : ignored) {
    std::lock_guard lock(mutex_);
    if (!told_.insert(Cat(name, "/", field)).second) continue;
    log_.Warning("config.pbtxt says what has no meaning here", {{"model", name}, {"field", field}});
  }
  absl::Status first;
  Memory& memory = MemoryOf(name);
  for (int64_t version : wanted->versions) {
    const VersionFiles& files = folder->versions.at(version);
    first.Update(LoadVersion(name, version, files, wanted->config,
                             FingerprintOf(files, wanted->fingerprint), memory, again));
  }
  // A label moves once all that is wanted serves.
  if (first.ok()) store_.SetLabels(name, wanted->labels);
  for (int64_t version : store_.Versions(name)) {
    if (wanted->versions.contains(version)) continue;
    // What serves stays until what is wanted does.
    if (!first.ok() && store_.Get(name, version) != nullptr) continue;
    const bool gone = !folder->versions.contains(version);
    store_.Remove(name, version, "not among the versions that are served", gone);
    if (gone) memory.failures.erase(version);
  }
  return first;
}

absl::Status ModelKeeper::LoadVersion(const std::string& name, int64_t version,
                                      const VersionFiles& files,
                                      const inference::ModelConfig& config,
                                      const Digest256& fingerprint, Memory& memory, bool again) {
  const ModelStore::Served now = store_.Get(name, version);
  if (now != nullptr && now->fingerprint() == fingerprint) return absl::OkStatus();
  const auto failed = memory.failures.find(version);
  if (!again && failed != memory.failures.end() && failed->second.fingerprint == fingerprint &&
      !IsPassing(failed->second.why)) {
    return failed->second.why;
  }
  const double start = MonotonicSeconds();
  store_.Loading(name, version);
  const CancelToken cancel(stop_.get_token());
  const auto load = [&]() -> absl::StatusOr<ModelStore::Served> {
    RLX_ASSIGN(const ChosenReader chosen, ChooseReader(files, config.default_model_filename()));
    ServedModel::Source source{name, version, config, fingerprint, {}, options_.queues};
    if (config.platform().empty()) source.config.set_platform(std::string(chosen.reader->platform));
    if (config.backend().empty()) source.config.set_backend(std::string(chosen.reader->backend));
    source.config.set_default_model_filename(chosen.file);
    auto read = chosen.reader->read(
        {files, chosen.file, engine_.options().limits, engine_.blobs(), cancel});
    if (!read.ok()) return Annotate(read.status(), chosen.file);
    source.model = *std::move(read);
    return ServedModel::Load(engine_, std::move(source), hooks_.make_queue, cancel);
  };
  const absl::StatusOr<ModelStore::Served> loaded = load();
  const double seconds = MonotonicSeconds() - start;
  if (stop_.stop_requested() && !loaded.ok()) return loaded.status();
  hooks_.load_ended(loaded.ok(), seconds);
  if (!loaded.ok()) {
    const absl::Status why = Annotate(loaded.status(), "version ", version);
    store_.Failed(name, version, std::string(Message(loaded.status())));
    memory.failures[version] = {fingerprint, why};
    log_.Error("model not loaded", {{"model", name}, {"why", Message(why)}});
    return why;
  }
  memory.failures.erase(version);
  store_.Install(*loaded);
  log_.Info("model ready", {{"model", name}, {"version", version}, {"seconds", seconds}});
  return absl::OkStatus();
}

ModelKeeper::Memory& ModelKeeper::MemoryOf(const std::string& name) {
  std::lock_guard lock(mutex_);
  return memories_[name];
}

void ModelKeeper::Settled(const std::string& name, bool ok) {
  {
    std::lock_guard lock(mutex_);
    if (ok || !options_.strict) awaited_.erase(name);
    if (!awaited_.empty() || ready_said_ || stop_.stop_requested()) return;
    ready_said_ = true;
  }
  hooks_.ready();
}

}  // namespace rlx::server
