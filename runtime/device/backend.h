// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/cancel.h"
#include "runtime/device/program.h"

namespace rlx::kernel {
struct Kernel;
}

namespace rlx::device {

class ProgramBuilder;

// Weights bound to an executable: the params its steps read directly and the WeightProgram's
// results. Immutable, shared by sessions and contexts.
class Weights {
 public:
  virtual ~Weights() = default;
  // Host or device bytes this set owns (packed copies, results), without the mapped params.
  virtual int64_t bytes() const = 0;
};

// When one step of the program ran, on the clock of MonotonicSeconds.
struct StepTime {
  const Step* step = nullptr;  // the executable's
  double start = 0, end = 0;
};

// What one running request occupies: an arena and, on a GPU, a stream. Used by one run at a time.
class ExecContext {
 public:
  virtual ~ExecContext() = default;
  // Runs the program: inputs in program order, each with exactly the spec's bytes, aligned to 64 or
  // copied; outputs likewise, written in full. Blocks. Cancelled / DeadlineExceeded between steps;
  // InvalidArgument for data-dependent faults (an index out of range) naming the step. No
  // allocation once warm. `weights` must come from the same executable (or one with the same weight
  // program).
  virtual absl::Status Run(const Weights& weights, std::span<const std::span<const uint8_t>> inputs,
                           std::span<const std::span<uint8_t>> outputs,
                           const CancelToken& cancel) = 0;
  // As Run, and says when each step ran: nested ones after the one that holds them. What a step
  // costs grows a little by being timed. (optional; default: runs, and `trace` stays empty)
  virtual absl::Status RunTraced(const Weights& weights,
                                 std::span<const std::span<const uint8_t>> inputs,
                                 std::span<const std::span<uint8_t>> outputs,
                                 const CancelToken& cancel, std::vector<StepTime>& trace) {
    trace.clear();
    return Run(weights, inputs, outputs, cancel);
  }
  virtual int64_t bytes() const = 0;
};

// A program loaded on a device. Immutable and thread safe.
class Executable {
 public:
  virtual ~Executable() = default;
  virtual const Program& program() const = 0;
  // Runs the WeightProgram. `params` in program order, sizes already checked against the specs;
  // their memory is kept alive by reference where steps read it directly.
  virtual absl::StatusOr<std::shared_ptr<const Weights>> BindWeights(
      std::span<const SharedBytes> params, const CancelToken& cancel) const = 0;
  virtual absl::StatusOr<std::unique_ptr<ExecContext>> NewContext() const = 0;
};

struct DeviceInfo {
  std::string id;  // "cpu:0"
  DeviceKind kind = DeviceKind::kCpu;
  std::string vendor;  // "amd", "intel", "nvidia"
  std::string name;    // processor or GPU model
  std::string driver;
  int64_t memory_bytes = 0;
  Target target;
};

struct DeviceOptions {
  int threads = 0;  // host threads a CPU device computes with; 0: one per available core
};

// One accelerator of this machine. Thread safe.
class Device {
 public:
  virtual ~Device() = default;
  virtual const DeviceInfo& info() const = 0;
  // Unavailable once the device has failed for good.
  virtual absl::Status Health() const = 0;
  // FailedPrecondition when the program was made for another target.
  virtual absl::StatusOr<std::shared_ptr<const Executable>> Load(
      std::shared_ptr<const Program> program) const = 0;
};

// How a claimed node will be run, for the dispatch report.
struct Claim {
  bool native = false;
  std::string how;  // or, when not native, why not
};

// A kernel as text in some language.
struct KernelText {
  std::string language;  // "llvm-ir", "x86-64-assembly"
  std::string text;
};

// A back end: a compiler half that runs anywhere, and a device half that needs the hardware. Owned
// by the registry, immutable, thread safe. See CONTRIBUTING.md, "Add a back end".
class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;
  virtual DeviceKind kind() const = 0;

  // Compiler half.
  // Profiles it can compile for; the first is this machine's own when it has the device.
  virtual std::vector<Target> Targets() const = 0;
  // Whether it lowers this node as it stands, given operand types and attributes.
  virtual Claim Claims(const Graph& graph, NodeId node, const Target& target) const = 0;
  // Claim names it lowers in some form: generated from the lowering table.
  virtual std::vector<std::string> ClaimedKinds(const Target& target) const = 0;
  // Whether operand `slot` of the node may be a strided view of a larger tensor (no copy).
  virtual bool AcceptsStrided(const Graph& graph, NodeId node, int slot) const = 0;
  // Emits the steps of one node that it claims.
  virtual absl::Status Lower(NodeId node, ProgramBuilder& builder) const = 0;
  // Object code of all kernels of a program, one blob. Cancelled and DeadlineExceeded within about
  // 100 ms.
  virtual absl::StatusOr<std::string> CompileKernels(std::span<const kernel::Kernel> kernels,
                                                     const Target& target,
                                                     const CancelToken& cancel) const = 0;
  // How it writes a kernel on the way to object code, from high to low, for people to read.
  // (optional; default: no text)
  virtual absl::StatusOr<std::vector<KernelText>> ExportKernel(const kernel::Kernel& kernel,
                                                               const Target& target) const {
    (void)kernel;
    (void)target;
    return std::vector<KernelText>();
  }
  // Versions of what compiles ("llvm 19.1.7"): part of the cache key.
  virtual std::string CompilerVersion() const = 0;

  // Device half.
  // Devices present now; an empty list goes with the reason in `why_none`.
  virtual std::vector<DeviceInfo> Enumerate(std::string& why_none) const = 0;
  virtual absl::StatusOr<std::shared_ptr<Device>> Open(std::string_view id,
                                                       const DeviceOptions& options) const = 0;
};

}  // namespace rlx::device
