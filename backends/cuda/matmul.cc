// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/matmul.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "backends/cuda/call.h"
#include "runtime/base/checked.h"
#include "runtime/base/status.h"
#include "runtime/device/program.h"

namespace rlx::cuda {
namespace {

using device::Program;
using device::Step;

constexpr std::string_view kFailed = "cuBLASLt";

struct Types {
  cudaDataType_t data, scale;
  cublasComputeType_t compute;
};

std::optional<Types> TypesOf(int64_t dtype) {
  switch (static_cast<DType>(dtype)) {
    case DType::kF16:
      return Types{CUDA_R_16F, CUDA_R_32F, CUBLAS_COMPUTE_32F};
    case DType::kBF16:
      return Types{CUDA_R_16BF, CUDA_R_32F, CUBLAS_COMPUTE_32F};
    case DType::kF32:
      return Types{CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F};
    case DType::kF64:
      return Types{CUDA_R_64F, CUDA_R_64F, CUBLAS_COMPUTE_64F};
    default:
      return std::nullopt;
  }
}

// Bytes from the first element of a matrix, or a batch of them, to the last; none: not in 64 bits.
std::optional<int64_t> Span(int64_t rows, int64_t columns, int64_t ld, int64_t batch,
                            int64_t stride, int64_t width) {
  const auto down = CheckedMul(rows - 1, ld);
  const auto along = CheckedMul(batch - 1, stride);
  if (!down || !along) return std::nullopt;
  const auto last = CheckedAdd(*down, *along);
  const auto elements = last ? CheckedAdd(*last, columns) : std::nullopt;
  return elements ? CheckedMul(*elements, width) : std::nullopt;
}

// An artifact is not trusted to say where its matrices end.
bool LiesWithin(const Program& program, const Step& step) {
  const auto& i = step.ints;
  const int64_t width = ByteWidth(static_cast<DType>(i[kDType]));
  const auto fits = [&](size_t buffer, std::optional<int64_t> bytes) {
    return bytes && *bytes <= program.buffers[step.buffers[buffer]].bytes;
  };
  const bool ta = i[kTransposedA] != 0, tb = i[kTransposedB] != 0;
  const int64_t ar = ta ? i[kK] : i[kM], ac = ta ? i[kM] : i[kK];
  const int64_t br = tb ? i[kN] : i[kK], bc = tb ? i[kK] : i[kN];
  if (i[kLda] < ac || i[kLdb] < bc) return false;
  const int64_t batch = i[kBatch];
  const auto all = Span(i[kM], i[kN], i[kN], batch, i[kStrideD], width);
  return fits(0, Span(ar, ac, i[kLda], batch, i[kStrideA], width)) &&
         fits(1, Span(br, bc, i[kLdb], batch, i[kStrideB], width)) &&
         (step.buffers[2] < 0 || fits(2, i[kN] * width)) && (step.buffers[3] < 0 || fits(3, all)) &&
         fits(4, all);
}

bool IsWellFormed(const Program& program, const Step& step) {
  if (step.buffers.size() != 5 || step.ints.size() != kMatMulInts) return false;
  for (size_t b : {0, 1, 4}) {
    if (step.buffers[b] < 0) return false;
  }
  for (MatMulInt i : {kM, kN, kK, kLda, kLdb, kBatch}) {
    if (step.ints[i] < 1) return false;
  }
  for (MatMulInt i : {kStrideA, kStrideB, kStrideD}) {
    if (step.ints[i] < 0) return false;
  }
  if (step.ints[kBatch] > std::numeric_limits<int32_t>::max()) return false;
  const Storage to = program.buffers[step.buffers[4]].storage;
  const bool fixed = to == Storage::kInput || to == Storage::kParam || to == Storage::kConstant;
  return !fixed && TypesOf(step.ints[kDType]) && step.ints[kEpilogue] >= 0 &&
         step.ints[kEpilogue] <= static_cast<int64_t>(Epilogue::kGeluTanh) &&
         LiesWithin(program, step);
}

cublasLtEpilogue_t EpilogueOf(const Step& step) {
  const bool bias = step.buffers[2] >= 0;
  switch (static_cast<Epilogue>(step.ints[kEpilogue])) {
    case Epilogue::kRelu:
      return bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
    case Epilogue::kGeluTanh:
      return bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    default:
      return bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  }
}

// Storages begin at multiples of 256 (run_memory.h); views within them anywhere.
uint32_t AlignmentOf(const Program& program, int32_t buffer) {
  constexpr int64_t kMost = 256;
  const int64_t offset = program.buffers[buffer].offset;
  return static_cast<uint32_t>(offset == 0 ? kMost : std::min(kMost, offset & -offset));
}

// What cuBLASLt is asked for, but for the matrices. Where the bias lies is a part of it and differs
// from context to context, so it is written anew wherever a product is put on a stream.
//
// cuBLASLt counts by columns, so it is asked for dᵀ = bᵀ · aᵀ: rows there are columns here, and
// what is row by row here stands there as its transpose already.
class Form {
 public:
  explicit Form(const Gpu& gpu) : gpu_(gpu) {}
  ~Form() {
    if (form_ != nullptr) gpu_.blas().cublasLtMatmulDescDestroy(form_);
  }
  Form(const Form&) = delete;
  Form& operator=(const Form&) = delete;

  absl::Status Write(const Step& step, CUdeviceptr bias) {
    const Types types = *TypesOf(step.ints[kDType]);
    RLX_TRY(gpu_.Check(gpu_.blas().cublasLtMatmulDescCreate(&form_, types.compute, types.scale),
                       kFailed));
    const bool ta = step.ints[kTransposedA] != 0, tb = step.ints[kTransposedB] != 0;
    RLX_TRY(Set(CUBLASLT_MATMUL_DESC_TRANSA, tb ? CUBLAS_OP_T : CUBLAS_OP_N));
    RLX_TRY(Set(CUBLASLT_MATMUL_DESC_TRANSB, ta ? CUBLAS_OP_T : CUBLAS_OP_N));
    RLX_TRY(Set(CUBLASLT_MATMUL_DESC_EPILOGUE, EpilogueOf(step)));
    if (step.buffers[2] < 0) return absl::OkStatus();
    return Set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  }
  cublasLtMatmulDesc_t get() const { return form_; }

 private:
  template <class T>
  absl::Status Set(cublasLtMatmulDescAttributes_t attribute, T value) const {
    return gpu_.Check(
        gpu_.blas().cublasLtMatmulDescSetAttribute(form_, attribute, &value, sizeof value),
        kFailed);
  }

  const Gpu& gpu_;
  cublasLtMatmulDesc_t form_ = nullptr;
};

}  // namespace

absl::StatusOr<std::unique_ptr<MatMul>> MatMul::Prepare(std::shared_ptr<const Gpu> gpu,
                                                        const Program& program, const Step& step) {
  if (!IsWellFormed(program, step)) {
    return DataLoss("step \"", step.label, "\" is no product that this device knows");
  }
  std::unique_ptr<MatMul> product(new MatMul(std::move(gpu), step));
  RLX_TRY(Annotate(product->Describe(), step.label));
  RLX_TRY(Annotate(product->Choose(program), step.label));
  return product;
}

MatMul::~MatMul() {
  const CublasLt& blas = gpu_->blas();
  for (cublasLtMatrixLayout_t layout : {a_, b_, d_}) {
    if (layout != nullptr) blas.cublasLtMatrixLayoutDestroy(layout);
  }
}

absl::Status MatMul::Layout(cublasLtMatrixLayout_t& layout, int64_t rows, int64_t columns,
                            int64_t ld, int64_t stride) const {
  const CublasLt& blas = gpu_->blas();
  const Types types = *TypesOf(step_.ints[kDType]);
  RLX_TRY(
      gpu_->Check(blas.cublasLtMatrixLayoutCreate(&layout, types.data, static_cast<uint64_t>(rows),
                                                  static_cast<uint64_t>(columns), ld),
                  kFailed));
  const auto batch = static_cast<int32_t>(step_.ints[kBatch]);
  if (batch == 1) return absl::OkStatus();
  RLX_TRY(gpu_->Check(blas.cublasLtMatrixLayoutSetAttribute(
                          layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch, sizeof batch),
                      kFailed));
  return gpu_->Check(
      blas.cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                            &stride, sizeof stride),
      kFailed);
}

absl::Status MatMul::Describe() {
  const auto& i = step_.ints;
  const bool ta = i[kTransposedA] != 0, tb = i[kTransposedB] != 0;
  RLX_TRY(Layout(b_, tb ? i[kK] : i[kN], tb ? i[kN] : i[kK], i[kLdb], i[kStrideB]));
  RLX_TRY(Layout(a_, ta ? i[kM] : i[kK], ta ? i[kK] : i[kM], i[kLda], i[kStrideA]));
  return Layout(d_, i[kN], i[kM], i[kN], i[kStrideD]);
}

absl::Status MatMul::Choose(const Program& program) {
  const CublasLt& blas = gpu_->blas();
  const auto& buffers = step_.buffers;
  Form form(*gpu_);  // with an address of the bias's alignment, until the address is known
  RLX_TRY(form.Write(step_, buffers[2] < 0 ? 0 : AlignmentOf(program, buffers[2])));
  cublasLtMatmulPreference_t preference = nullptr;
  RLX_TRY(gpu_->Check(blas.cublasLtMatmulPreferenceCreate(&preference), kFailed));
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    blas.cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value);
  };
  const uint32_t d = AlignmentOf(program, buffers[4]);
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(kWorkspaceBytes));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, AlignmentOf(program, buffers[1]));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, AlignmentOf(program, buffers[0]));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
         buffers[3] < 0 ? d : AlignmentOf(program, buffers[3]));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, d);
  cublasLtMatmulHeuristicResult_t found = {};
  int count = 0;
  const cublasStatus_t status = blas.cublasLtMatmulAlgoGetHeuristic(
      gpu_->blas_handle(), form.get(), b_, a_, d_, d_, preference, 1, &found, &count);
  blas.cublasLtMatmulPreferenceDestroy(preference);
  RLX_TRY(gpu_->Check(status, kFailed));
  if (count == 0) return Unimplemented("cuBLASLt has no algorithm");
  algorithm_ = found.algo;
  return absl::OkStatus();
}

absl::Status MatMul::Run(const CUdeviceptr* addresses, CUdeviceptr workspace,
                         CUstream stream) const {
  const auto at = [&](size_t buffer) {
    return reinterpret_cast<void*>(addresses[step_.buffers[buffer]]);
  };
  Form form(*gpu_);
  RLX_TRY(form.Write(step_, step_.buffers[2] < 0 ? 0 : addresses[step_.buffers[2]]));
  // One or none as the scale's type has it.
  const bool adds = step_.buffers[3] >= 0;
  const float one32 = 1, beta32 = adds ? 1 : 0;
  const double one64 = 1, beta64 = adds ? 1 : 0;
  const bool wide = TypesOf(step_.ints[kDType])->scale == CUDA_R_64F;
  const void* alpha = wide ? static_cast<const void*>(&one64) : &one32;
  const void* beta = wide ? static_cast<const void*>(&beta64) : &beta32;
  return gpu_->Check(
      gpu_->blas().cublasLtMatmul(gpu_->blas_handle(), form.get(), alpha, at(1), b_, at(0), a_,
                                  beta, adds ? at(3) : at(4), d_, at(4), d_, &algorithm_,
                                  reinterpret_cast<void*>(workspace), kWorkspaceBytes, stream),
      step_.label);
}

}  // namespace rlx::cuda
