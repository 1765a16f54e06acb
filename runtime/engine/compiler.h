// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/engine/compile_job.h"
#include "runtime/engine/compile_pool.h"
#include "runtime/engine/recall.h"

namespace rlx::engine {

class EngineObserver;

// The half of the engine that compiles. One compile per key however many ask, on threads of its
// own; it stops when the last who waited has gone. Thread safe.
class Compiler {
 public:
  // All four outlive it.
  Compiler(const EngineOptions& options, const Targets& targets, ArtifactCache& artifacts,
           EngineObserver& observer);
  ~Compiler();  // Stops what runs.

  absl::StatusOr<Compiled> Compile(const Principal& who, CompileSpec spec, const CompileCall& call,
                                   const CancelToken& cancel);
  std::optional<Compiled> Recall(const Principal& who, const Digest256& request);
  absl::StatusOr<Compiled> Wait(const Principal& who, const RandomId& operation,
                                const CompileCall& call, const CancelToken& cancel);
  absl::StatusOr<Lowered> Lower(const CompileSpec& spec, Stage stage, const CancelToken& cancel,
                                FusionReport* misses);

  // A module that was compiled before, in the names that this principal knows it by. NotFound.
  absl::StatusOr<Compiled> Load(const Principal& who, const Digest256& key,
                                const CancelToken& cancel);
  // The module made for some sizes, through the same caches. Up to them: FailedPrecondition where
  // padding would change a result.
  absl::StatusOr<ModulePtr> Specialise(const ModulePtr& module, const Specialisation& at,
                                       const CancelToken& cancel);

  double Reap(double now) { return operations_.Reap(now); }
  CompilePool::Load load() const { return pool_.load(); }
  // Requests and keys whose callers' words are remembered, so that a hit speaks in them.
  Recollection::Load recalled() const { return meanings_.load(); }
  void ForgetRequests() { meanings_.Clear(); }

 private:
  // One call as it is measured and reported.
  struct Request;
  absl::StatusOr<Compiled> TryCompile(const Principal& who, CompileSpec& spec,
                                      const CompileCall& call, const CancelToken& cancel,
                                      Request& request);
  std::shared_ptr<Operation> Start(const Principal& who, CompileSpec& spec, Job job,
                                   Meaning meaning, const CompileCall& call,
                                   const RandomId& operation);
  absl::StatusOr<Compiled> Await(std::shared_ptr<Operation> operation, const CompileCall& call,
                                 const CancelToken& cancel, Request& request);
  absl::Status AddDumps(const CompileSpec& spec, const CancelToken& cancel, Compiled& answer);
  void WriteIr(const CompileSpec& spec, const Digest256& key, const CancelToken& cancel);
  void Remember(const std::string& principal, const std::optional<Digest256>& request,
                const Meaning& meaning);
  void Report(const Request& request, const absl::StatusOr<Compiled>& answer);

  const EngineOptions& options_;
  const Targets& targets_;
  ArtifactCache& artifacts_;
  EngineObserver& observer_;
  Recollection meanings_;
  CompilePool pool_;
  Flights flights_;
  Operations operations_;
};

}  // namespace rlx::engine
