// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/gpu.h"

#include "runtime/base/status.h"

namespace rlx::cuda {
namespace {

// After these a context is of no use any more, whatever is asked of it.
bool IsSticky(CUresult result) {
  switch (result) {
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_FAILED:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_DEVICE_UNAVAILABLE:
    case CUDA_ERROR_CONTEXT_IS_DESTROYED:
      return true;
    default:
      return false;
  }
}

std::string_view NameOf(const Driver& driver, CUresult result) {
  const char* name = nullptr;
  return driver.cuGetErrorName(result, &name) == CUDA_SUCCESS && name != nullptr ? name : "?";
}

}  // namespace

absl::StatusOr<std::shared_ptr<Gpu>> Gpu::Open(std::shared_ptr<const Driver> driver, CublasLt blas,
                                               CUdevice device) {
  std::shared_ptr<Gpu> gpu(new Gpu(std::move(driver), std::move(blas), device));
  RLX_TRY(gpu->Check(gpu->driver().cuDevicePrimaryCtxRetain(&gpu->context_, device),
                     "cannot use the device"));
  RLX_TRY(gpu->Enter());
  RLX_TRY(gpu->Check(gpu->blas_.cublasLtCreate(&gpu->blas_handle_), "cannot start cuBLASLt"));
  return gpu;
}

Gpu::~Gpu() {
  if (context_ == nullptr) return;
  driver_->cuCtxSetCurrent(context_);
  if (blas_handle_ != nullptr) blas_.cublasLtDestroy(blas_handle_);
  driver_->cuDevicePrimaryCtxRelease(device_);
}

absl::Status Gpu::Enter() const {
  RLX_TRY(Health());
  return Check(driver_->cuCtxSetCurrent(context_), "cannot enter the context");
}

absl::Status Gpu::Health() const {
  const auto failure = static_cast<CUresult>(failure_.load());
  if (failure == CUDA_SUCCESS) return absl::OkStatus();
  return Unavailable("the device has failed: ", NameOf(*driver_, failure));
}

absl::Status Gpu::Check(CUresult result, std::string_view what) const {
  if (result == CUDA_SUCCESS) [[likely]]
    return absl::OkStatus();
  const std::string_view name = NameOf(*driver_, result);
  if (result == CUDA_ERROR_OUT_OF_MEMORY) return ResourceExhausted(what, ": ", name);
  if (!IsSticky(result)) return Internal(what, ": ", name);
  failure_.store(result);
  return Unavailable(what, ": the device has failed: ", name);
}

absl::Status Gpu::Check(cublasStatus_t result, std::string_view what) const {
  if (result == CUBLAS_STATUS_SUCCESS) [[likely]]
    return absl::OkStatus();
  const std::string_view name = blas_.cublasLtGetStatusName(result);
  if (result == CUBLAS_STATUS_NOT_SUPPORTED) return Unimplemented(what, ": ", name);
  if (result == CUBLAS_STATUS_ALLOC_FAILED) return ResourceExhausted(what, ": ", name);
  return Internal(what, ": ", name);
}

absl::StatusOr<Memory> Memory::Allocate(std::shared_ptr<const Gpu> gpu, Kind kind, int64_t bytes) {
  Memory memory;
  if (bytes == 0) return memory;
  const Driver& driver = gpu->driver();
  const auto size = static_cast<size_t>(bytes);
  if (kind == Kind::kDevice) {
    const std::string what = Cat("cannot allocate ", bytes, " bytes on the device");
    RLX_TRY(gpu->Check(driver.cuMemAlloc(&memory.address_, size), what));
  } else {
    void* host = nullptr;
    const std::string what = Cat("cannot allocate ", bytes, " page-locked bytes");
    RLX_TRY(gpu->Check(driver.cuMemHostAlloc(&host, size, 0), what));
    memory.address_ = reinterpret_cast<CUdeviceptr>(host);
  }
  memory.kind_ = kind;
  memory.bytes_ = bytes;
  memory.gpu_ = std::move(gpu);
  return memory;
}

Memory::~Memory() {
  if (address_ == 0 || !gpu_->Enter().ok()) return;  // with a failed device all is lost anyway
  if (kind_ == Kind::kDevice) {
    gpu_->driver().cuMemFree(address_);
  } else {
    gpu_->driver().cuMemFreeHost(host());
  }
}

absl::StatusOr<Event> Event::Create(std::shared_ptr<const Gpu> gpu) {
  CUevent event = nullptr;
  RLX_TRY(
      gpu->Check(gpu->driver().cuEventCreate(&event, CU_EVENT_DEFAULT), "cannot make an event"));
  return Event(std::move(gpu), event);
}

Event::~Event() {
  if (event_ != nullptr && gpu_->Enter().ok()) gpu_->driver().cuEventDestroy(event_);
}

absl::Status Event::Record(CUstream stream) const {
  return gpu_->Check(gpu_->driver().cuEventRecord(event_, stream), "cannot record an event");
}

absl::Status Event::Wait() const {
  return gpu_->Check(gpu_->driver().cuEventSynchronize(event_), "the run failed");
}

absl::StatusOr<Stream> Stream::Create(std::shared_ptr<const Gpu> gpu) {
  CUstream stream = nullptr;
  RLX_TRY(gpu->Check(gpu->driver().cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING),
                     "cannot make a stream"));
  return Stream(std::move(gpu), stream);
}

Stream::~Stream() {
  if (stream_ == nullptr || !gpu_->Enter().ok()) return;
  gpu_->driver().cuStreamSynchronize(stream_);
  gpu_->driver().cuStreamDestroy(stream_);
}

absl::Status Stream::Wait() const {
  return gpu_->Check(gpu_->driver().cuStreamSynchronize(stream_), "the run failed");
}

}  // namespace rlx::cuda
