// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/ir/device_kind.h"
#include "runtime/ir/lir.h"

namespace rlx::device {

// What code is generated for. Two targets with equal fingerprints run the same artifacts.
struct Target {
  DeviceKind kind = DeviceKind::kCpu;
  std::string profile;  // "cpu", "cpu:x86-64-v3", "cuda:h200": what clients name
  std::string arch;     // what the compiler is told: "x86-64-v4", "sm_90"
  std::string
      fingerprint;  // everything code generation depends on: arch, features, library versions
  int64_t vector_bytes = 0;
  friend bool operator==(const Target&, const Target&) = default;
};

// A byte range that steps read or write.
struct Buffer {
  // Never kView or kNone: views are resolved. kArena is the run's arena in `steps`, and the weight
  // arena (gone after binding) in `weight_steps`.
  Storage storage = Storage::kArena;
  int32_t index =
      0;  // kInput, kOutput, kParam, kConstant: position; kWeight: slot in the WeightSet
  int64_t offset = 0;  // bytes from the start of that storage
  int64_t bytes = 0;
  friend bool operator==(const Buffer&, const Buffer&) = default;
};

// One action of a program. A tree: Loop and Branch own steps.
struct Step {
  enum class Kind : uint8_t {
    kLaunch,  // generated kernel `kernel` over `groups` workgroups: buffers, ints are its
              // parameters
    kCall,    // back-end routine `routine`: reads and writes `buffers` (-1: absent), configured by
              // ints and floats as the routine documents
    kCopy,    // buffers[0] → buffers[1], equal sizes
    kBranch,  // buffers[0] holds a Bool: bodies[0] if true, else bodies[1]
    kLoop,    // bodies[1] again and again: LoopParts says what its buffers and ints are
  };
  Kind kind = Kind::kCopy;
  int32_t kernel = -1;
  int64_t groups = 0;
  std::string routine;
  std::vector<int32_t> buffers;
  std::vector<int64_t> ints;
  std::vector<double> floats;
  std::vector<std::vector<Step>> bodies;
  std::string label;       // what it computes, for profiles: "fused_matmul_bias_act %12"
  int64_t cost_flops = 0;  // for scheduling: tiny runs stay on the calling thread
  int64_t cost_bytes = 0;
  friend bool operator==(const Step&, const Step&) = default;
};

// "launch", "call", "copy", "branch", "loop".
constexpr std::string_view Name(Step::Kind kind) {
  constexpr std::string_view kNames[] = {"launch", "call", "copy", "branch", "loop"};
  return kNames[static_cast<size_t>(kind)];
}

// A Loop step, by what its lists mean:
//
//   for t = 0, 1, …:
//     if it has a condition (buffers[0] is not -1) and t < most, or must_end:
//       bodies[0]; leave unless buffers[0] holds true
//     leave if t = most: with must_end that is a fault of the data
//     bodies[1]
//   bodies[2], with t as it is then
//
// While it runs, the buffers behind the first lie further on in turn t, by stride · (t mod 2) bytes
// for the first `swinging` of them (what a turn writes is what the next reads), by stride · t for
// the others (slices). That adds to what a loop around it does, and ends with it.
struct LoopParts {
  enum Int : size_t { kMost, kMustEnd, kSwinging, kFixedInts };  // of Step::ints; strides follow
  enum Body : size_t { kHolds, kTurn, kLeave, kBodies };

  explicit LoopParts(const Step& step)
      : condition(step.buffers[0]),
        most(step.ints[kMost]),
        must_end(step.ints[kMustEnd] != 0),
        swinging(static_cast<size_t>(step.ints[kSwinging])),
        moving(std::span(step.buffers).subspan(1)),
        strides(std::span(step.ints).subspan(kFixedInts)) {}

  int32_t condition;
  int64_t most;
  bool must_end;
  size_t swinging;
  std::span<const int32_t> moving;
  std::span<const int64_t> strides;  // one each
};

// A generated kernel, and what a launch must give it.
struct KernelEntry {
  std::string name;     // in Program::object
  std::string buffers;  // one letter each, in order: 'r' read, 'w' written
  int32_t scalars = 0;
  friend bool operator==(const KernelEntry&, const KernelEntry&) = default;
};

// Whether two buffers share bytes, in one phase of the program.
bool Overlap(const Buffer& a, const Buffer& b);

struct TensorSpec {
  std::string name;
  TensorType type;  // static
  friend bool operator==(const TensorSpec&, const TensorSpec&) = default;
};

// LIR lowered for one target: what an artifact carries and a device loads. Plain data.
struct Program {
  std::string target_fingerprint;
  std::vector<TensorSpec> inputs, params, outputs;
  std::vector<HostTensor> constants;
  std::vector<Buffer> buffers;
  std::vector<int64_t> weight_slots;  // bytes of each kWeight slot
  std::vector<Step> weight_steps;     // the WeightProgram: params, constants → weight slots
  std::vector<Step> steps;
  int64_t arena_bytes = 0;           // activations, weight-step temporaries excluded
  int64_t weight_arena_bytes = 0;    // temporaries of the weight steps
  int64_t scratch_bytes = 0;         // shared scratch a step may use; offset arena_bytes
  std::vector<KernelEntry> kernels;  // by Step::kernel
  std::string object;                // compiled kernels; loading compiles nothing
  std::vector<AliasPair> aliases;
  friend bool operator==(const Program&, const Program&) = default;
};

}  // namespace rlx::device
