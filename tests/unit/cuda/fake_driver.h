// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backends/cuda/api.h"

namespace rlx::cuda::test {

// A GPU of host memory behind the driver's function table: streams do at once what is put on them,
// graphs keep it, and anything may fail. One at a time, on one thread.
class FakeDriver {
 public:
  // What a launch does with its buffers, of which there are so many.
  struct Kernel {
    size_t buffers = 0;
    std::function<void(const std::vector<void*>&)> run;
    size_t maps = 0;  // before the buffers; each must have been made
  };

  FakeDriver();
  ~FakeDriver();
  FakeDriver(const FakeDriver&) = delete;

  std::shared_ptr<const Driver> driver() const { return driver_; }
  // From now on of CUDA 11.7: without what newer drivers have.
  void BecomeOld();
  static CublasLt Blas();  // that starts and ends, no more

  std::map<std::string, Kernel, std::less<>> kernels;
  int devices = 1, arch = 90;
  CUresult init = CUDA_SUCCESS;
  size_t most_bytes = SIZE_MAX;  // of device memory at once

  // The call of this number fails so, counted from 0 over `calls`. What gives things back never
  // does.
  int fail_at = -1;
  CUresult failure = CUDA_ERROR_INVALID_VALUE;
  // What the device says from now on, whatever is asked of it.
  CUresult sticky = CUDA_SUCCESS;

  int calls = 0, captures = 0, replays = 0;
  int ahead = 0;  // launches that may begin before what is before them has ended

  // What is not given back: memory, streams, events, modules, graphs and contexts.
  size_t alive() const { return memory_.size() + handles_.size() + contexts_; }

 private:
  friend struct FakeCalls;
  using Work = std::function<void()>;

  std::shared_ptr<Driver> driver_;
  std::map<void*, size_t> memory_;
  std::map<const void*, std::function<void()>> handles_;  // and what ends each
  size_t contexts_ = 0;
  bool capturing_ = false;
  std::vector<Work> captured_;
};

}  // namespace rlx::cuda::test
