// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "backends/cuda/gpu.h"

namespace rlx::device {
struct Program;
struct Step;
}  // namespace rlx::device

namespace rlx::cuda {

// A kMatMulRoutine step with cuBLASLt's choice for it. Immutable and thread safe.
class MatMul {
 public:
  // DataLoss when the step is not as call.h has it, or its operands do not lie within their
  // buffers. Unimplemented when cuBLASLt has nothing for it.
  static absl::StatusOr<std::unique_ptr<MatMul>> Prepare(std::shared_ptr<const Gpu> gpu,
                                                         const device::Program& program,
                                                         const device::Step& step);
  ~MatMul();
  MatMul(const MatMul&) = delete;
  MatMul& operator=(const MatMul&) = delete;

  static constexpr int64_t kWorkspaceBytes = int64_t{32} << 20;

  // `addresses` of all buffers; `workspace` of kWorkspaceBytes, used by one product at a time.
  absl::Status Run(const CUdeviceptr* addresses, CUdeviceptr workspace, CUstream stream) const;

 private:
  MatMul(std::shared_ptr<const Gpu> gpu, const device::Step& step)
      : gpu_(std::move(gpu)), step_(step) {}
  absl::Status Describe();
  absl::Status Choose(const device::Program& program);
  absl::Status Layout(cublasLtMatrixLayout_t& layout, int64_t rows, int64_t columns, int64_t ld,
                      int64_t stride) const;

  std::shared_ptr<const Gpu> gpu_;
  const device::Step& step_;  // the program's, which outlives this
  cublasLtMatrixLayout_t a_ = nullptr, b_ = nullptr, d_ = nullptr;
  cublasLtMatmulAlgo_t algorithm_ = {};
};

}  // namespace rlx::cuda
