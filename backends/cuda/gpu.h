// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <string_view>

#include "backends/cuda/api.h"

namespace rlx::cuda {

// One device's primary context, shared by all that lives on the device. Thread safe.
class Gpu {
 public:
  static absl::StatusOr<std::shared_ptr<Gpu>> Open(std::shared_ptr<const Driver> driver,
                                                   CublasLt blas, CUdevice device);
  ~Gpu();
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  const Driver& driver() const { return *driver_; }
  const CublasLt& blas() const { return blas_; }
  cublasLtHandle_t blas_handle() const { return blas_handle_; }

  // Makes the context this thread's. Unavailable once the device has failed.
  absl::Status Enter() const;
  // ResourceExhausted when device memory is out; an error after which the driver answers nothing
  // but errors marks the device as failed: Unavailable, now and from here on.
  absl::Status Check(CUresult result, std::string_view what) const;
  absl::Status Check(cublasStatus_t result, std::string_view what) const;
  absl::Status Health() const;

 private:
  Gpu(std::shared_ptr<const Driver> driver, CublasLt blas, CUdevice device)
      : driver_(std::move(driver)), blas_(std::move(blas)), device_(device) {}

  std::shared_ptr<const Driver> driver_;
  CublasLt blas_;
  CUdevice device_;
  CUcontext context_ = nullptr;
  cublasLtHandle_t blas_handle_ = nullptr;
  mutable std::atomic<int> failure_{CUDA_SUCCESS};
};

// Memory of the device or page-locked memory of the host; given back with the object.
class Memory {
 public:
  enum class Kind { kDevice, kPinned };

  Memory() = default;
  // Of no bytes: nothing is allocated.
  static absl::StatusOr<Memory> Allocate(std::shared_ptr<const Gpu> gpu, Kind kind, int64_t bytes);
  Memory(Memory&& other) noexcept { Swap(other); }
  Memory& operator=(Memory&& other) noexcept {
    Swap(other);
    return *this;
  }
  ~Memory();

  int64_t bytes() const { return bytes_; }
  CUdeviceptr address() const { return address_; }
  uint8_t* host() const { return reinterpret_cast<uint8_t*>(address_); }

 private:
  void Swap(Memory& other) {
    std::swap(gpu_, other.gpu_);
    std::swap(kind_, other.kind_);
    std::swap(address_, other.address_);
    std::swap(bytes_, other.bytes_);
  }

  std::shared_ptr<const Gpu> gpu_;
  Kind kind_ = Kind::kDevice;
  CUdeviceptr address_ = 0;
  int64_t bytes_ = 0;
};

// A place in a stream's work, to wait for and to measure from.
class Event {
 public:
  static absl::StatusOr<Event> Create(std::shared_ptr<const Gpu> gpu);
  Event(Event&& other) noexcept
      : gpu_(std::move(other.gpu_)), event_(std::exchange(other.event_, nullptr)) {}
  ~Event();

  CUevent get() const { return event_; }
  absl::Status Record(CUstream stream) const;
  absl::Status Wait() const;  // at once when nothing was recorded

 private:
  Event(std::shared_ptr<const Gpu> gpu, CUevent event) : gpu_(std::move(gpu)), event_(event) {}

  std::shared_ptr<const Gpu> gpu_;
  CUevent event_;
};

// A queue of work; waits for what is on it before it goes.
class Stream {
 public:
  static absl::StatusOr<Stream> Create(std::shared_ptr<const Gpu> gpu);
  Stream(Stream&& other) noexcept
      : gpu_(std::move(other.gpu_)), stream_(std::exchange(other.stream_, nullptr)) {}
  ~Stream();

  CUstream get() const { return stream_; }
  absl::Status Wait() const;

 private:
  Stream(std::shared_ptr<const Gpu> gpu, CUstream stream) : gpu_(std::move(gpu)), stream_(stream) {}

  std::shared_ptr<const Gpu> gpu_;
  CUstream stream_;
};

}  // namespace rlx::cuda
