// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "runtime/base/random.h"
#include "runtime/base/sha256.h"
#include "runtime/wire/artifact.h"

// What compiles take and give.
namespace rlx::engine {

// Who asks. Handles, operations, leases and blobs are scoped to it. Without authentication there is
// one principal, "".
struct Principal {
  std::string name;
};

// Where a compiled module came from.
enum class CacheResult : uint8_t { kMemory, kDisk, kRemote, kFollower, kCompiled };
std::string_view Name(CacheResult result);  // "memory" … "compiled": a metric label

// What a compile is doing; in the order in which it happens.
enum class CompilePhase : uint8_t {
  kCacheCheck,
  kQueued,
  kParse,  // verification
  kHir,
  kMir,
  kLir,
  kCodegen,
  kLoad,  // keeping the result
  kDone,
};
std::string_view Name(CompilePhase phase);  // "cache_check" … "done": a metric label
using PhaseSeconds = std::vector<std::pair<CompilePhase, double>>;  // in order

// A param's bytes: a slice of a blob that the principal has uploaded, or given by value.
struct WeightSource {
  struct Slice {
    Digest256 blob;
    uint64_t offset = 0;
    uint64_t length = 0;
  };
  std::string param;
  DType dtype = DType::kF32;
  std::vector<int64_t> dims;
  std::variant<Slice, SharedBytes> source = Slice{};
};

// All that an artifact depends on.
struct CompileSpec {
  Module module;  // not yet verified
  DeviceKind device = DeviceKind::kCpu;
  std::string profile;     // empty: the device that is here, or its back end's first
  CompileOptions options;  // what is absent comes from EngineOptions::defaults
  // SHA-256 of the request that says all of the above, if the caller has it: Engine::Recall then
  // answers the same request without a module.
  std::optional<Digest256> request;
  // What the module's author says of its params' bytes; not in the key.
  std::vector<WeightSource> weights;
};
using WeightSources = std::shared_ptr<const std::vector<WeightSource>>;  // null: none

struct CompileProgress {
  RandomId operation;  // for Engine::WaitCompile
  CompilePhase phase = CompilePhase::kCacheCheck;
  std::string_view detail;  // kMir: the pass that starts
  double seconds = 0;       // since the compile began
};

// How one caller wants it.
struct CompileCall {
  bool skip_cache_lookup = false;
  bool do_not_cache = false;
  // Called by the caller's own thread and by the compile's, one at a time, never after Compile has
  // returned. Must not block and not call the engine. Whoever joins late hears where the compile
  // is.
  std::function<void(const CompileProgress&)> progress;
  // Filled when assert_fusion_clean fails, in the caller's own names.
  FusionReport* misses = nullptr;
};

// Bytes that a loaded module needs.
struct MemoryStats {
  int64_t arena_bytes = 0;   // per run in flight
  int64_t weight_bytes = 0;  // params, and what the WeightProgram makes of them
  int64_t code_bytes = 0;
  int64_t constant_bytes = 0;
};

// A symbolic module made for some sizes.
struct Specialisation {
  DimBinding sizes;    // of every symbol
  bool up_to = false;  // these and any admissible smaller ones; else these alone
  friend auto operator<=>(const Specialisation&, const Specialisation&) = default;
};

// A compiled module as caches keep it: canonical node numbers, no debug names. Immutable, shared by
// all who asked for the key.
struct CompiledModule {
  Digest256 key;
  wire::Artifact artifact;  // its fusion report holds every remark, as if `verbose`
  MemoryStats memory;
  int64_t artifact_bytes = 0;  // encoded
};

// What the author of one module called things, by canonical node number: of nodes of the main
// graph, then of those in bodies of control flow (AllNodes).
struct SourceTable {
  struct Author {
    std::string path;                // of a node in a body: "4 scan: %"
    NodeId number = 0;               // of the node in the author's module, or in that body
    std::string name;                // its label, may be empty
    std::vector<SourceRef> sources;  // those that it came with, else itself
  };
  std::string module_name;
  std::vector<Author> nodes;

  // A message of the compile of the canonical module, with the nodes that it names (`%3 (erf)`) as
  // the author knows them (`%7 "gelu" (erf)`, in a body `%4 scan: %7 "gelu" (erf)`).
  std::string Translate(std::string_view message) const;
  size_t MemoryBytes() const;
};

// One caller's answer.
struct Compiled {
  std::shared_ptr<const CompiledModule> module;
  std::shared_ptr<const SourceTable> names;       // never null
  std::shared_ptr<const CompileOptions> options;  // as resolved, every field set
  WeightSources weights;                          // CompileSpec::weights of this very module
  CacheResult cache = CacheResult::kCompiled;
  RandomId operation;
  double seconds = 0;                                // of this request, waiting included
  PhaseSeconds phases;                               // of this request
  std::vector<std::pair<Stage, std::string>> dumps;  // CompileOptions::dump, in order

  const Digest256& key() const { return module->key; }
  // The reports in the caller's own names, without the remarks that only `verbose` shows.
  FusionReport Fusion() const;
  DispatchReport Dispatch() const;
  // Whether a session can be opened where the device is (symbols are bound by its runs); if not,
  // why.
  bool runnable() const;
  std::string WhyNot() const;
};

// A module after the passes that lead to a stage, in the caller's own names.
struct Lowered {
  Module module;
  std::string text;
  // Stage kLir:
  FusionReport fusion;
  DispatchReport dispatch;
  std::vector<PassTiming> passes;
};

// One field of a cache key.
struct KeyComponent {
  std::string name;  // "module", "target", "options", "build", "library:cpu", "salt"
  Digest256 digest;  // of the field
  std::string text;  // the field for people, where it is short
};
struct KeyExplanation {
  Digest256 key;
  std::vector<KeyComponent> components;  // in the order in which they are hashed
};

// One thing that is not the same in two requests.
struct KeyDifference {
  std::string component;   // KeyComponent::name
  std::string what;        // of a module: `%17 "norm" (rms_norm)`, "symbol batch", "plan"
  std::string field;       // "eps", "type", "operand 1"; an option's name; empty: all of it
  std::string one, other;  // empty: not there, or not to be shown
};
struct KeyComparison {
  KeyExplanation one, other;
  std::vector<KeyDifference> differences;  // in the order of components
  size_t more = 0;                         // that are not listed
};
// Names of the components in which two keys differ, in order.
std::vector<std::string> Differing(const KeyExplanation& a, const KeyExplanation& b);

}  // namespace rlx::engine
