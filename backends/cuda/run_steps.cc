// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/run_steps.h"

#include "runtime/base/status.h"

namespace rlx::cuda {
namespace {

using device::Step;

// Arguments are read by address: a pointer for each buffer, the scalar's own bytes for the rest.
absl::Status Launch(const Gpu& gpu, const Prepared& prepared,
                    std::span<const CUdeviceptr> addresses, CUstream stream) {
  const Step& step = *prepared.step;
  if (step.groups == 0) return absl::OkStatus();
  std::vector<void*> arguments;
  for (int32_t b : step.buffers) arguments.push_back(const_cast<CUdeviceptr*>(&addresses[b]));
  for (const int64_t& value : step.ints) arguments.push_back(const_cast<int64_t*>(&value));
  return gpu.Check(
      gpu.driver().cuLaunchKernel(prepared.function, static_cast<unsigned>(step.groups), 1, 1,
                                  static_cast<unsigned>(prepared.lanes), 1, 1, 0, stream,
                                  arguments.data(), nullptr),
      step.label);
}

absl::Status Issue(const Gpu& gpu, const Prepared& prepared, std::span<const CUdeviceptr> addresses,
                   CUdeviceptr workspace, CUstream stream) {
  const Step& step = *prepared.step;
  switch (step.kind) {
    case Step::Kind::kLaunch:
      return Launch(gpu, prepared, addresses, stream);
    case Step::Kind::kCall:
      return prepared.product == nullptr
                 ? absl::OkStatus()
                 : prepared.product->Run(addresses.data(), workspace, stream);
    default:
      if (prepared.copy_bytes == 0) return absl::OkStatus();
      return gpu.Check(
          gpu.driver().cuMemcpyDtoDAsync(addresses[step.buffers[1]], addresses[step.buffers[0]],
                                         static_cast<size_t>(prepared.copy_bytes), stream),
          step.label);
  }
}

}  // namespace

absl::Status IssueSteps(const Gpu& gpu, std::span<const Prepared> steps,
                        std::span<const CUdeviceptr> addresses, CUdeviceptr workspace,
                        CUstream stream, std::span<const Event> marks) {
  if (!marks.empty()) RLX_TRY(marks[0].Record(stream));
  for (size_t s = 0; s < steps.size(); ++s) {
    RLX_TRY(Issue(gpu, steps[s], addresses, workspace, stream));
    if (!marks.empty()) RLX_TRY(marks[s + 1].Record(stream));
  }
  return absl::OkStatus();
}

}  // namespace rlx::cuda
