// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "backends/cuda/abi.h"
#include "runtime/base/dynamic_library.h"

// The vendor's libraries as tables of functions, opened at run time: a machine that lacks one
// starts all the same and says which it was. A row: the function, how the library calls the form
// that we mean, and its type.
namespace rlx::cuda {

// clang-format off
#define RLX_CUDA_DRIVER(X) \
  X(cuInit, "cuInit", CUresult(unsigned)) \
  X(cuDriverGetVersion, "cuDriverGetVersion", CUresult(int*)) \
  X(cuGetErrorName, "cuGetErrorName", CUresult(CUresult, const char**)) \
  X(cuDeviceGetCount, "cuDeviceGetCount", CUresult(int*)) \
  X(cuDeviceGet, "cuDeviceGet", CUresult(CUdevice*, int)) \
  X(cuDeviceGetName, "cuDeviceGetName", CUresult(char*, int, CUdevice)) \
  X(cuDeviceGetAttribute, "cuDeviceGetAttribute", CUresult(int*, CUdevice_attribute, CUdevice)) \
  X(cuDeviceTotalMem, "cuDeviceTotalMem_v2", CUresult(size_t*, CUdevice)) \
  X(cuDevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain", CUresult(CUcontext*, CUdevice)) \
  X(cuDevicePrimaryCtxRelease, "cuDevicePrimaryCtxRelease_v2", CUresult(CUdevice)) \
  X(cuCtxSetCurrent, "cuCtxSetCurrent", CUresult(CUcontext)) \
  X(cuMemAlloc, "cuMemAlloc_v2", CUresult(CUdeviceptr*, size_t)) \
  X(cuMemFree, "cuMemFree_v2", CUresult(CUdeviceptr)) \
  X(cuMemHostAlloc, "cuMemHostAlloc", CUresult(void**, size_t, unsigned)) \
  X(cuMemFreeHost, "cuMemFreeHost", CUresult(void*)) \
  X(cuMemcpyHtoDAsync, "cuMemcpyHtoDAsync_v2", \
    CUresult(CUdeviceptr, const void*, size_t, CUstream)) \
  X(cuMemcpyDtoHAsync, "cuMemcpyDtoHAsync_v2", CUresult(void*, CUdeviceptr, size_t, CUstream)) \
  X(cuMemcpyDtoDAsync, "cuMemcpyDtoDAsync_v2", \
    CUresult(CUdeviceptr, CUdeviceptr, size_t, CUstream)) \
  X(cuMemsetD8Async, "cuMemsetD8Async", CUresult(CUdeviceptr, unsigned char, size_t, CUstream)) \
  X(cuStreamCreate, "cuStreamCreate", CUresult(CUstream*, unsigned)) \
  X(cuStreamDestroy, "cuStreamDestroy_v2", CUresult(CUstream)) \
  X(cuStreamSynchronize, "cuStreamSynchronize", CUresult(CUstream)) \
  X(cuStreamBeginCapture, "cuStreamBeginCapture_v2", CUresult(CUstream, CUstreamCaptureMode)) \
  X(cuStreamEndCapture, "cuStreamEndCapture", CUresult(CUstream, CUgraph*)) \
  X(cuGraphInstantiate, "cuGraphInstantiateWithFlags", \
    CUresult(CUgraphExec*, CUgraph, unsigned long long)) \
  X(cuGraphLaunch, "cuGraphLaunch", CUresult(CUgraphExec, CUstream)) \
  X(cuGraphDestroy, "cuGraphDestroy", CUresult(CUgraph)) \
  X(cuGraphExecDestroy, "cuGraphExecDestroy", CUresult(CUgraphExec)) \
  X(cuEventCreate, "cuEventCreate", CUresult(CUevent*, unsigned)) \
  X(cuEventDestroy, "cuEventDestroy_v2", CUresult(CUevent)) \
  X(cuEventRecord, "cuEventRecord", CUresult(CUevent, CUstream)) \
  X(cuEventSynchronize, "cuEventSynchronize", CUresult(CUevent)) \
  X(cuEventElapsedTime, "cuEventElapsedTime", CUresult(float*, CUevent, CUevent)) \
  X(cuModuleLoadData, "cuModuleLoadData", CUresult(CUmodule*, const void*)) \
  X(cuModuleUnload, "cuModuleUnload", CUresult(CUmodule)) \
  X(cuModuleGetFunction, "cuModuleGetFunction", CUresult(CUfunction*, CUmodule, const char*)) \
  X(cuLaunchKernel, "cuLaunchKernel", \
    CUresult(CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, \
             CUstream, void**, void**)) \
  X(cuFuncSetAttribute, "cuFuncSetAttribute", CUresult(CUfunction, CUfunction_attribute, int))

// Null where the driver is older than they are: 11.8, 12.0.
#define RLX_CUDA_NEWER_DRIVER(X) \
  X(cuLaunchKernelEx, "cuLaunchKernelEx", \
    CUresult(const CUlaunchConfig*, CUfunction, void**, void**)) \
  X(cuTensorMapEncodeTiled, "cuTensorMapEncodeTiled", \
    CUresult(CUtensorMap*, CUtensorMapDataType, uint32_t, void*, const uint64_t*, const uint64_t*, \
             const uint32_t*, const uint32_t*, CUtensorMapInterleave, CUtensorMapSwizzle, \
             CUtensorMapL2promotion, CUtensorMapFloatOOBfill))

#define RLX_NVRTC(X) \
  X(nvrtcVersion, "nvrtcVersion", nvrtcResult(int*, int*)) \
  X(nvrtcGetErrorString, "nvrtcGetErrorString", const char*(nvrtcResult)) \
  X(nvrtcGetNumSupportedArchs, "nvrtcGetNumSupportedArchs", nvrtcResult(int*)) \
  X(nvrtcGetSupportedArchs, "nvrtcGetSupportedArchs", nvrtcResult(int*)) \
  X(nvrtcCreateProgram, "nvrtcCreateProgram", \
    nvrtcResult(nvrtcProgram*, const char*, const char*, int, const char* const*, \
                const char* const*)) \
  X(nvrtcDestroyProgram, "nvrtcDestroyProgram", nvrtcResult(nvrtcProgram*)) \
  X(nvrtcSetFlowCallback, "nvrtcSetFlowCallback", \
    nvrtcResult(nvrtcProgram, int (*)(void*, void*), void*)) \
  X(nvrtcCompileProgram, "nvrtcCompileProgram", nvrtcResult(nvrtcProgram, int, const char* const*)) \
  X(nvrtcGetCUBINSize, "nvrtcGetCUBINSize", nvrtcResult(nvrtcProgram, size_t*)) \
  X(nvrtcGetCUBIN, "nvrtcGetCUBIN", nvrtcResult(nvrtcProgram, char*)) \
  X(nvrtcGetProgramLogSize, "nvrtcGetProgramLogSize", nvrtcResult(nvrtcProgram, size_t*)) \
  X(nvrtcGetProgramLog, "nvrtcGetProgramLog", nvrtcResult(nvrtcProgram, char*))

#define RLX_CUBLASLT(X) \
  X(cublasLtGetStatusName, "cublasLtGetStatusName", const char*(cublasStatus_t)) \
  X(cublasLtCreate, "cublasLtCreate", cublasStatus_t(cublasLtHandle_t*)) \
  X(cublasLtDestroy, "cublasLtDestroy", cublasStatus_t(cublasLtHandle_t)) \
  X(cublasLtMatmulDescCreate, "cublasLtMatmulDescCreate", \
    cublasStatus_t(cublasLtMatmulDesc_t*, cublasComputeType_t, cudaDataType_t)) \
  X(cublasLtMatmulDescDestroy, "cublasLtMatmulDescDestroy", cublasStatus_t(cublasLtMatmulDesc_t)) \
  X(cublasLtMatmulDescSetAttribute, "cublasLtMatmulDescSetAttribute", \
    cublasStatus_t(cublasLtMatmulDesc_t, cublasLtMatmulDescAttributes_t, const void*, size_t)) \
  X(cublasLtMatrixLayoutCreate, "cublasLtMatrixLayoutCreate", \
    cublasStatus_t(cublasLtMatrixLayout_t*, cudaDataType_t, uint64_t, uint64_t, int64_t)) \
  X(cublasLtMatrixLayoutDestroy, "cublasLtMatrixLayoutDestroy", \
    cublasStatus_t(cublasLtMatrixLayout_t)) \
  X(cublasLtMatrixLayoutSetAttribute, "cublasLtMatrixLayoutSetAttribute", \
    cublasStatus_t(cublasLtMatrixLayout_t, cublasLtMatrixLayoutAttribute_t, const void*, size_t)) \
  X(cublasLtMatmulPreferenceCreate, "cublasLtMatmulPreferenceCreate", \
    cublasStatus_t(cublasLtMatmulPreference_t*)) \
  X(cublasLtMatmulPreferenceDestroy, "cublasLtMatmulPreferenceDestroy", \
    cublasStatus_t(cublasLtMatmulPreference_t)) \
  X(cublasLtMatmulPreferenceSetAttribute, "cublasLtMatmulPreferenceSetAttribute", \
    cublasStatus_t(cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t, const void*, \
                   size_t)) \
  X(cublasLtMatmulAlgoGetHeuristic, "cublasLtMatmulAlgoGetHeuristic", \
    cublasStatus_t(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t, \
                   cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, \
                   cublasLtMatmulPreference_t, int, cublasLtMatmulHeuristicResult_t*, int*)) \
  X(cublasLtMatmul, "cublasLtMatmul", \
    cublasStatus_t(cublasLtHandle_t, cublasLtMatmulDesc_t, const void*, const void*, \
                   cublasLtMatrixLayout_t, const void*, cublasLtMatrixLayout_t, const void*, \
                   const void*, cublasLtMatrixLayout_t, void*, cublasLtMatrixLayout_t, \
                   const cublasLtMatmulAlgo_t*, void*, size_t, CUstream))
// clang-format on

#define RLX_CUDA_MEMBER(name, symbol, ...) std::add_pointer_t<__VA_ARGS__> name = nullptr;

// Each: Unavailable, "libcuda.so.1 not found", when it is not there or lacks a function.

struct Driver {
  RLX_CUDA_DRIVER(RLX_CUDA_MEMBER)
  RLX_CUDA_NEWER_DRIVER(RLX_CUDA_MEMBER)
  std::optional<DynamicLibrary> library;
  static absl::StatusOr<Driver> Load();
};

struct Nvrtc {
  RLX_NVRTC(RLX_CUDA_MEMBER)
  std::optional<DynamicLibrary> library;
  static absl::StatusOr<Nvrtc> Load();
};

struct CublasLt {
  RLX_CUBLASLT(RLX_CUDA_MEMBER)
  std::optional<DynamicLibrary> library;
  static absl::StatusOr<CublasLt> Load();
};

#undef RLX_CUDA_MEMBER

}  // namespace rlx::cuda
