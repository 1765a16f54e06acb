// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/context.h"

#include <cstring>

#include "runtime/base/check.h"
#include "runtime/base/clock.h"
#include "runtime/base/status.h"

namespace rlx::cuda {
namespace {

using device::Program;

size_t SizeOf(const device::TensorSpec& spec) { return static_cast<size_t>(*spec.type.ByteSize()); }

// What a run reads and writes from outside lies in one strip, on the device and in page-locked
// memory alike: inputs, then outputs, then the words for faults. So a run is one copy in, the
// program, one copy out, all recorded once as a graph and replayed as long as the weights stay.
class CudaContext final : public device::ExecContext {
 public:
  CudaContext(std::shared_ptr<const LoadedProgram> loaded, Stream stream)
      : loaded_(std::move(loaded)), gpu_(*loaded_->gpu()), stream_(std::move(stream)) {}

  ~CudaContext() override {
    if (gpu_.Enter().ok()) DropGraph();
  }

  absl::Status Allocate() {
    const Program& program = loaded_->program();
    for (const device::TensorSpec& spec : program.inputs) strip_.Append(*spec.type.ByteSize());
    inputs_end_ = strip_.bytes;
    for (const device::TensorSpec& spec : program.outputs) strip_.Append(*spec.type.ByteSize());
    faults_ = strip_.Append(loaded_->fault_bytes());
    using enum Memory::Kind;
    RLX_ASSIGN(strip_device_, Memory::Allocate(loaded_->gpu(), kDevice, strip_.bytes));
    RLX_ASSIGN(strip_host_, Memory::Allocate(loaded_->gpu(), kPinned, strip_.bytes));
    RLX_ASSIGN(arena_, Memory::Allocate(loaded_->gpu(), kDevice,
                                        program.arena_bytes + program.scratch_bytes));
    RLX_ASSIGN(workspace_, Memory::Allocate(loaded_->gpu(), kDevice, loaded_->workspace_bytes()));
    return ClearFaults();
  }

  absl::Status Run(const device::Weights& weights, std::span<const std::span<const uint8_t>> inputs,
                   std::span<const std::span<uint8_t>> outputs,
                   const CancelToken& cancel) override {
    RLX_TRY(Begin(inputs, outputs, cancel));
    const auto& own = static_cast<const CudaWeights&>(weights);
    if (graph_ == nullptr || graph_weights_ != own.id) RLX_TRY(Record(own));
    RLX_TRY(gpu_.Check(gpu_.driver().cuGraphLaunch(graph_, stream_.get()), "cannot start the run"));
    return Finish(outputs, cancel);
  }

  absl::Status RunTraced(const device::Weights& weights,
                         std::span<const std::span<const uint8_t>> inputs,
                         std::span<const std::span<uint8_t>> outputs, const CancelToken& cancel,
                         std::vector<device::StepTime>& trace) override {
    trace.clear();
    RLX_TRY(Begin(inputs, outputs, cancel));
    while (marks_.size() < loaded_->steps().size() + 1) {
      RLX_ASSIGN(Event mark, Event::Create(loaded_->gpu()));
      marks_.push_back(std::move(mark));
    }
    const double start = MonotonicSeconds();
    const absl::Status issued = Issue(static_cast<const CudaWeights&>(weights), marks_);
    if (!issued.ok()) {
      RLX_TRY(stream_.Wait());  // for what was put on it before
      return issued;
    }
    RLX_TRY(Finish(outputs, cancel));
    return ReadMarks(start, trace);
  }

  int64_t bytes() const override {
    return strip_device_.bytes() + strip_host_.bytes() + arena_.bytes() + workspace_.bytes();
  }

 private:
  absl::Status Begin(std::span<const std::span<const uint8_t>> inputs,
                     std::span<const std::span<uint8_t>> outputs, const CancelToken& cancel) {
    const Program& program = loaded_->program();
    CHECK(inputs.size() == program.inputs.size() && outputs.size() == program.outputs.size(),
          "a run with ", inputs.size(), " inputs and ", outputs.size(), " outputs");
    RLX_TRY(gpu_.Enter());
    RLX_TRY(cancel.Check());
    for (size_t i = 0; i < inputs.size(); ++i) {
      CHECK(inputs[i].size() == SizeOf(program.inputs[i]), program.inputs[i].name, " has ",
            inputs[i].size(), " bytes");
      if (!inputs[i].empty()) std::memcpy(InHost(i), inputs[i].data(), inputs[i].size());
    }
    return absl::OkStatus();
  }

  absl::Status Finish(std::span<const std::span<uint8_t>> outputs, const CancelToken& cancel) {
    RLX_TRY(stream_.Wait());
    const absl::Status faults =
        loaded_->CheckFaults(reinterpret_cast<const int32_t*>(strip_host_.host() + faults_));
    if (!faults.ok()) {
      RLX_TRY(ClearFaults());
      return faults;
    }
    const Program& program = loaded_->program();
    for (size_t i = 0; i < outputs.size(); ++i) {
      CHECK(outputs[i].size() == SizeOf(program.outputs[i]), program.outputs[i].name, " has ",
            outputs[i].size(), " bytes");
      const uint8_t* from = InHost(program.inputs.size() + i);
      if (!outputs[i].empty()) std::memcpy(outputs[i].data(), from, outputs[i].size());
    }
    return cancel.Check();
  }

  uint8_t* InHost(size_t position) const { return strip_host_.host() + strip_.offsets[position]; }

  absl::Status ClearFaults() {
    const auto bytes = static_cast<size_t>(loaded_->fault_bytes());
    if (bytes == 0) return absl::OkStatus();
    const CUdeviceptr at = strip_device_.address() + static_cast<CUdeviceptr>(faults_);
    RLX_TRY(gpu_.Check(gpu_.driver().cuMemsetD8Async(at, 0, bytes, stream_.get()), "faults"));
    return stream_.Wait();
  }

  absl::Status Issue(const CudaWeights& weights, std::span<const Event> marks) {
    std::vector<CUdeviceptr> places;
    for (int64_t offset : strip_.offsets) {
      places.push_back(strip_device_.address() + static_cast<CUdeviceptr>(offset));
    }
    const size_t inputs = loaded_->program().inputs.size();
    const std::vector<CUdeviceptr> params = AddressesOf(weights.params);
    const std::vector<CUdeviceptr> slots = AddressesOf(weights.slots);
    const std::vector<CUdeviceptr> addresses =
        loaded_->Resolve({.arena = arena_.address(),
                          .faults = places.back(),
                          .inputs = std::span(places).first(inputs),
                          .outputs = std::span(places).subspan(inputs),
                          .params = params,
                          .slots = slots});
    const Driver& driver = gpu_.driver();
    const auto in = static_cast<size_t>(inputs_end_);
    const auto out = static_cast<size_t>(strip_.bytes) - in;
    if (in > 0) {
      RLX_TRY(gpu_.Check(
          driver.cuMemcpyHtoDAsync(strip_device_.address(), strip_host_.host(), in, stream_.get()),
          "inputs"));
    }
    RLX_TRY(IssueSteps(gpu_, loaded_->steps(),
                       {.stream = stream_.get(),
                        .addresses = addresses,
                        .workspace = workspace_.address(),
                        .marks = marks,
                        .overlap = true}));
    if (out == 0) return absl::OkStatus();
    return gpu_.Check(driver.cuMemcpyDtoHAsync(strip_host_.host() + in,
                                               strip_device_.address() + in, out, stream_.get()),
                      "outputs");
  }

  // Relaxed: cuBLASLt loads its code when it is first asked for.
  absl::Status Record(const CudaWeights& weights) {
    const Driver& driver = gpu_.driver();
    DropGraph();
    RLX_TRY(gpu_.Check(driver.cuStreamBeginCapture(stream_.get(), CU_STREAM_CAPTURE_MODE_RELAXED),
                       "cannot record a run"));
    const absl::Status issued = Issue(weights, {});
    CUgraph graph = nullptr;
    const CUresult ended = driver.cuStreamEndCapture(stream_.get(), &graph);
    absl::Status status = issued;
    if (status.ok()) status = gpu_.Check(ended, "cannot record a run");
    if (status.ok()) {
      status = gpu_.Check(driver.cuGraphInstantiate(&graph_, graph, 0), "cannot record a run");
    }
    if (graph != nullptr) driver.cuGraphDestroy(graph);
    graph_weights_ = weights.id;
    return status;
  }

  void DropGraph() {
    if (graph_ != nullptr) gpu_.driver().cuGraphExecDestroy(graph_);
    graph_ = nullptr;
  }

  absl::Status ReadMarks(double start, std::vector<device::StepTime>& trace) const {
    double before = start;
    for (size_t s = 0; s < loaded_->steps().size(); ++s) {
      float millis = 0;
      RLX_TRY(gpu_.Check(
          gpu_.driver().cuEventElapsedTime(&millis, marks_[0].get(), marks_[s + 1].get()),
          "cannot read the trace"));
      const double end = start + static_cast<double>(millis) * 1e-3;
      trace.push_back({loaded_->steps()[s].step, before, end});
      before = end;
    }
    return absl::OkStatus();
  }

  std::shared_ptr<const LoadedProgram> loaded_;
  const Gpu& gpu_;
  Stream stream_;
  Strip strip_;
  int64_t inputs_end_ = 0, faults_ = 0;
  Memory strip_device_, strip_host_, arena_, workspace_;
  CUgraphExec graph_ = nullptr;
  int64_t graph_weights_ = 0;
  std::vector<Event> marks_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<device::ExecContext>> MakeContext(
    std::shared_ptr<const LoadedProgram> loaded) {
  RLX_TRY(loaded->gpu()->Enter());
  RLX_ASSIGN(Stream stream, Stream::Create(loaded->gpu()));
  auto context = std::make_unique<CudaContext>(std::move(loaded), std::move(stream));
  RLX_TRY(context->Allocate());
  return context;
}

}  // namespace rlx::cuda
