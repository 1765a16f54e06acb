// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cublasLt.h>
#include <cuda.h>
#include <nvrtc.h>

#include "absl/status/statusor.h"
#include "runtime/base/dynamic_library.h"

// The vendor's libraries as tables of functions, opened at run time: a machine that lacks one
// starts all the same and says which it was.
namespace rlx::cuda {

// clang-format off
#define RLX_CUDA_DRIVER(X) \
  X(cuInit) X(cuDriverGetVersion) X(cuDeviceGetCount) X(cuDeviceGet) X(cuDeviceGetName) \
  X(cuDeviceGetAttribute) X(cuDeviceTotalMem) X(cuDevicePrimaryCtxRetain) \
  X(cuDevicePrimaryCtxRelease) X(cuCtxSetCurrent) X(cuMemGetInfo) X(cuMemAlloc) X(cuMemFree) \
  X(cuMemHostAlloc) X(cuMemFreeHost) X(cuMemcpyHtoDAsync) X(cuMemcpyDtoHAsync) \
  X(cuMemcpyDtoDAsync) X(cuMemsetD8Async) X(cuStreamCreate) X(cuStreamDestroy) \
  X(cuStreamSynchronize) X(cuStreamBeginCapture) X(cuStreamEndCapture) X(cuGraphInstantiate) \
  X(cuGraphLaunch) X(cuGraphDestroy) X(cuGraphExecDestroy) X(cuEventCreate) X(cuEventDestroy) \
  X(cuEventRecord) X(cuEventSynchronize) X(cuEventElapsedTime) X(cuModuleLoadData) \
  X(cuModuleUnload) X(cuModuleGetFunction) X(cuLaunchKernel) X(cuGetErrorName)

#define RLX_NVRTC(X) \
  X(nvrtcVersion) X(nvrtcCreateProgram) X(nvrtcDestroyProgram) X(nvrtcCompileProgram) \
  X(nvrtcSetFlowCallback) X(nvrtcGetCUBINSize) X(nvrtcGetCUBIN) X(nvrtcGetProgramLogSize) \
  X(nvrtcGetProgramLog) X(nvrtcGetErrorString)

#define RLX_CUBLASLT(X) \
  X(cublasLtCreate) X(cublasLtDestroy) X(cublasLtGetVersion) X(cublasLtGetStatusName) \
  X(cublasLtMatmul) X(cublasLtMatmulAlgoGetHeuristic) X(cublasLtMatmulDescCreate) \
  X(cublasLtMatmulDescDestroy) X(cublasLtMatmulDescSetAttribute) X(cublasLtMatrixLayoutCreate) \
  X(cublasLtMatrixLayoutDestroy) X(cublasLtMatrixLayoutSetAttribute) \
  X(cublasLtMatmulPreferenceCreate) X(cublasLtMatmulPreferenceDestroy) \
  X(cublasLtMatmulPreferenceSetAttribute)
// clang-format on

#define RLX_CUDA_MEMBER(name) decltype(&::name) name = nullptr;

// Each: Unavailable, "libcuda.so.1 not found", when it is not there or lacks a function.

struct Driver {
  RLX_CUDA_DRIVER(RLX_CUDA_MEMBER)
  DynamicLibrary library;
  static absl::StatusOr<Driver> Load();
};

struct Nvrtc {
  RLX_NVRTC(RLX_CUDA_MEMBER)
  DynamicLibrary library;
  static absl::StatusOr<Nvrtc> Load();
};

struct CublasLt {
  RLX_CUBLASLT(RLX_CUDA_MEMBER)
  DynamicLibrary library;
  static absl::StatusOr<CublasLt> Load();
};

#undef RLX_CUDA_MEMBER

}  // namespace rlx::cuda
