// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/executable.h"

#include "backends/cuda/context.h"
#include "backends/cuda/loaded_program.h"
#include "runtime/base/check.h"
#include "runtime/base/status.h"

namespace rlx::cuda {
namespace {

using device::Program;

// The whole set of memory that weight steps need beside what they leave.
struct Temporaries {
  Memory arena, faults, workspace;
};

class CudaExecutable final : public device::Executable,
                             public std::enable_shared_from_this<CudaExecutable> {
 public:
  explicit CudaExecutable(std::unique_ptr<LoadedProgram> loaded) : loaded_(std::move(loaded)) {}

  const Program& program() const override { return loaded_->program(); }

  absl::StatusOr<std::shared_ptr<const device::Weights>> BindWeights(
      std::span<const SharedBytes> params, const CancelToken& cancel) const override {
    RLX_TRY(loaded_->gpu()->Enter());
    CHECK(params.size() == program().params.size(), params.size(), " weights for ",
          program().params.size(), " params");
    auto weights = std::make_shared<CudaWeights>();
    RLX_ASSIGN(const Stream stream, Stream::Create(loaded_->gpu()));
    RLX_TRY(UploadParams(params, *weights, stream, cancel));
    for (int64_t bytes : program().weight_slots) {
      RLX_ASSIGN(Memory slot, Allocate(bytes));
      weights->slots.push_back(std::move(slot));
    }
    RLX_TRY(RunWeightSteps(*weights, stream));
    RLX_TRY(cancel.Check());
    for (size_t p = 0; p < params.size(); ++p) {
      if (!loaded_->ReadsParam(p)) weights->params[p] = Memory();
    }
    return weights;
  }

  absl::StatusOr<std::unique_ptr<device::ExecContext>> NewContext() const override {
    return MakeContext(std::shared_ptr<const LoadedProgram>(shared_from_this(), loaded_.get()));
  }

 private:
  absl::StatusOr<Memory> Allocate(int64_t bytes) const {
    return Memory::Allocate(loaded_->gpu(), Memory::Kind::kDevice, bytes);
  }

  absl::Status UploadParams(std::span<const SharedBytes> params, CudaWeights& weights,
                            const Stream& stream, const CancelToken& cancel) const {
    if (params.empty()) return absl::OkStatus();
    RLX_ASSIGN(Upload upload, Upload::Begin(loaded_->gpu(), stream.get()));
    for (const SharedBytes& param : params) {
      RLX_TRY(cancel.Check());
      RLX_ASSIGN(Memory memory, Allocate(static_cast<int64_t>(param.size())));
      RLX_TRY(upload.Copy(memory.address(), param.span()));
      weights.params.push_back(std::move(memory));
    }
    return stream.Wait();
  }

  absl::Status RunWeightSteps(const CudaWeights& weights, const Stream& stream) const {
    if (loaded_->weight_steps().empty()) return absl::OkStatus();
    const Gpu& gpu = *loaded_->gpu();
    Temporaries temporary;
    RLX_ASSIGN(temporary.arena, Allocate(program().weight_arena_bytes));
    RLX_ASSIGN(temporary.faults, Allocate(loaded_->fault_bytes()));
    RLX_ASSIGN(temporary.workspace, Allocate(loaded_->workspace_bytes()));
    const auto fault_bytes = static_cast<size_t>(loaded_->fault_bytes());
    if (fault_bytes > 0) {
      RLX_TRY(gpu.Check(
          gpu.driver().cuMemsetD8Async(temporary.faults.address(), 0, fault_bytes, stream.get()),
          "faults"));
    }
    const std::vector<CUdeviceptr> params = AddressesOf(weights.params);
    const std::vector<CUdeviceptr> slots = AddressesOf(weights.slots);
    const std::vector<CUdeviceptr> addresses =
        loaded_->Resolve({.arena = temporary.arena.address(),
                          .faults = temporary.faults.address(),
                          .params = params,
                          .slots = slots});
    RLX_TRY(IssueSteps(gpu, loaded_->weight_steps(),
                       {.stream = stream.get(),
                        .addresses = addresses,
                        .workspace = temporary.workspace.address()}));
    std::vector<int32_t> words(fault_bytes / 4);
    if (fault_bytes > 0) {
      RLX_TRY(gpu.Check(gpu.driver().cuMemcpyDtoHAsync(words.data(), temporary.faults.address(),
                                                       fault_bytes, stream.get()),
                        "faults"));
    }
    RLX_TRY(stream.Wait());
    return loaded_->CheckFaults(words.data());
  }

  std::unique_ptr<LoadedProgram> loaded_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const device::Executable>> LoadExecutable(
    std::shared_ptr<const Gpu> gpu, std::shared_ptr<const Program> program) {
  RLX_ASSIGN(std::unique_ptr<LoadedProgram> loaded,
             LoadedProgram::Load(std::move(gpu), std::move(program)));
  return std::make_shared<CudaExecutable>(std::move(loaded));
}

}  // namespace rlx::cuda
