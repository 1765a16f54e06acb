// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <variant>

#include "runtime/base/function_ref.h"
#include "runtime/engine/compile.h"

// What sessions take and give.
namespace rlx::engine {

struct OpenSpec {
  struct Compile {
    CompileSpec spec;
    CompileCall call;
  };
  std::variant<Digest256, Compile> executable;  // a key that Compile returned, or compile first
  // With a key: what it must have been compiled for, when set.
  std::optional<DeviceKind> device;
  std::string profile;
  // With a module to compile those that are left out are CompileSpec::weights.
  std::vector<WeightSource> weights;
  uint32_t lease_seconds = 0;  // 0: the default; capped
  bool pinned = false;         // the daemon's own: under no lease, and not one of max_sessions
  int max_contexts = 0;        // concurrent runs; 0: EngineOptions::max_contexts
};

struct Opened {
  RandomId handle;
  Compiled compiled;
  uint32_t lease_seconds = 0;   // as granted
  bool weights_shared = false;  // bound before, by this session's like
  int64_t weight_bytes = 0;     // on the device, shared or not
};

// All views are the caller's until Run returns.
struct NamedInput {
  std::string_view name;
  DType dtype = DType::kF32;
  std::span<const int64_t> dims;
  std::span<const uint8_t> bytes;
};

// One result, its extents known.
struct OutputSpec {
  size_t position = 0;  // in the order asked for
  std::string_view name;
  const TensorType& type;
  size_t bytes = 0;
};
// Gives memory for one output, of exactly `bytes`, valid until Run returns; the device writes
// straight into it. Null refuses: Run is ResourceExhausted. Called for each output asked for, in
// order, before anything runs.
using OutputMemory = FunctionRef<uint8_t*(const OutputSpec&)>;

// When one step of a run ran. Nested steps follow the one that holds them.
struct TracedStep {
  std::string label;
  std::string_view kind;  // "launch", "call", "copy", "branch", "loop"
  std::string what;       // the kernel or routine
  double start = 0;       // seconds since the first step began
  double seconds = 0;
};

struct RunSpec {
  RandomId handle;
  std::span<const NamedInput> inputs;         // all of the manifest's, in any order
  std::span<const std::string_view> outputs;  // empty: all, in the manifest's order
  std::vector<TracedStep>* trace = nullptr;   // not null: time every step, and fill this
};
// How far a run came.
enum class RunStage : uint8_t {
  kAdmission,
  kQueue,    // waits for a context, or for its size of a symbolic module to be made
  kCompute,  // on the device
};
std::string_view Name(RunStage stage);  // "admission" … "compute": a metric label

struct RunTiming {
  double queue_seconds = 0;  // waiting for an execution context, specialisation included
  double compute_seconds = 0;
};

struct SessionInfo {
  RandomId handle;
  Digest256 key;
  device::Target target;
  std::string module_name;
  double lease_remaining_seconds = 0;
  uint64_t runs = 0;
  int64_t weight_bytes = 0;
};

}  // namespace rlx::engine
