// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <set>
#include <stop_token>
#include <thread>

#include "runtime/base/log.h"
#include "server/models/store.h"

namespace rlx::server {

struct LoadOverride;

enum class ControlMode : uint8_t { kNone, kPoll, kExplicit };

struct KeeperOptions {
  std::string root;  // of the repository; empty: there is none
  ControlMode mode = ControlMode::kNone;
  double poll_seconds = 15;
  std::set<std::string> load_at_start;  // kExplicit; "*": all
  bool strict = true;                   // ready once every model of the start serves
  int threads = 2;                      // loads at a time
  QueueDefaults queues;
  std::string scratch = "/tmp";  // for files that a request to load brings
};

// Keeps what serves in step with the repository's folder: reads, compiles, opens and warms up on
// threads of its own, one load of a model at a time, and only then lets a version take requests. A
// version that is no longer wanted goes once those that are wanted serve; one that cannot be loaded
// leaves what serves alone. Thread safe.
class ModelKeeper {
 public:
  struct Hooks {
    std::function<void()> ready;                              // the start is done; once
    std::function<void(bool ok, double seconds)> load_ended;  // of one version
    MakeQueue make_queue;
  };
  // All outlive it. InvalidArgument, or what the folder says, when the root cannot be read.
  static absl::StatusOr<std::unique_ptr<ModelKeeper>> Start(KeeperOptions options,
                                                            engine::Engine& engine,
                                                            ModelStore& store, Logger& log,
                                                            Hooks hooks);
  ~ModelKeeper();  // stops what loads; what serves stays in the store

  // Breaks off what loads; who waits for it hears that the server is draining. Nothing is loaded
  // any more.
  void Stop();

  // Models of the folder, whether loaded or not.
  std::vector<std::string> List() const;
  // Loads what the folder holds now, or what is `said` instead (may be null), and waits for it.
  // NotFound: no such model. Unavailable unless explicit. Else why it cannot be loaded.
  absl::Status Load(const std::string& name, std::shared_ptr<const LoadOverride> said,
                    const CancelToken& cancel);
  absl::Status Unload(const std::string& name, const CancelToken& cancel);

 private:
  struct Job {
    enum class Kind : uint8_t { kUpdate, kLoad, kUnload };
    Kind kind = Kind::kUpdate;
    std::shared_ptr<const LoadOverride> said;  // of kLoad
    bool done = false;
    absl::Status status;
  };
  using JobPtr = std::shared_ptr<Job>;
  // What is to be done for one model, in order; the front is being done.
  struct Strand {
    std::deque<JobPtr> jobs;
  };
  // A version that could not be loaded, until its files or config change.
  struct Failure {
    Digest256 fingerprint;
    absl::Status why;
  };
  // Of one model; touched by the one job that is being done.
  struct Memory {
    std::map<int64_t, Failure> failures;
  };

  ModelKeeper(KeeperOptions options, engine::Engine& engine, ModelStore& store, Logger& log,
              Hooks hooks);
  void Begin(const std::vector<std::string>& names);
  JobPtr EnqueueLocked(const std::string& name, Job::Kind kind);
  absl::Status Wait(const JobPtr& job, const CancelToken& cancel);
  absl::Status CheckExplicit() const;
  void Work();
  void Poll();
  void Look();
  absl::Status Do(const std::string& name, const Job& job);
  absl::Status Update(const std::string& name, bool again, const LoadOverride* said);
  absl::Status LoadVersion(const std::string& name, int64_t version, const VersionFiles& files,
                           const inference::ModelConfig& config, const Digest256& fingerprint,
                           Memory& memory, bool again);
  Memory& MemoryOf(const std::string& name);
  void Settled(const std::string& name, bool ok);

  const KeeperOptions options_;
  engine::Engine& engine_;
  ModelStore& store_;
  Logger& log_;
  const Hooks hooks_;
  std::stop_source stop_;

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, Strand> strands_;  // guarded by mutex_, as below
  std::deque<std::string> next_;           // strands with something to do that nobody does
  std::map<std::string, Memory> memories_;
  std::set<std::string> awaited_;  // by the start
  std::set<std::string> told_;     // warnings that were logged: model and field
  bool ready_said_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace rlx::server
